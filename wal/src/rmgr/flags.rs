//! Bits with names in payloads: typed, and serialized as the list of their names.
//!
//! Invariant: bits that have no name are kept (what is read is what the log says), and are serialized
//! behind the names as one hexadecimal number.

use bitflags::Flags;
use serde::Serializer;
use serde::ser::SerializeSeq as _;

/// Defines flag types: a [`bitflags::bitflags!`] struct for each, made with `from_bits_retain`, serialized
/// as a list of names.
macro_rules! flags {
    ($(
        $(#[$outer:meta])*
        pub struct $name:ident: $bits:ty { $($(#[$inner:ident $($argument:tt)*])* const $flag:ident = $value:expr;)* }
    )*) => {$(
        bitflags::bitflags! {
            $(#[$outer])*
            #[derive(Debug, Clone, Copy, PartialEq, Eq)]
            pub struct $name: $bits {
                $($(#[$inner $($argument)*])* const $flag = $value;)*
                /// Bits that PostgreSQL gives no name.
                const _ = !0;
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $crate::rmgr::flags::serialize_names(self, serializer)
            }
        }
    )*};
}
pub(super) use flags;

/// Serializes a set of flags as the list of their names.
pub(super) fn serialize_names<F, S>(flags: &F, serializer: S) -> Result<S::Ok, S::Error>
where
    F: Flags + Copy,
    F::Bits: std::fmt::LowerHex,
    S: Serializer,
{
    let mut list = serializer.serialize_seq(None)?;
    let mut names = flags.iter_names();
    for (name, _) in names.by_ref() {
        list.serialize_element(name)?;
    }
    let rest = names.remaining();
    if !rest.is_empty() {
        list.serialize_element(&format_args!("{:#x}", rest.bits()))?;
    }
    list.end()
}

#[cfg(test)]
mod tests {
    flags! {
        /// For the test.
        pub struct Two: u8 {
            const ONE = 1;
            const FOUR = 4;
        }
    }

    #[test]
    fn names_come_first_and_unnamed_bits_last() {
        let json = |bits| serde_json::to_string(&Two::from_bits_retain(bits)).ok();
        assert_eq!(json(0).as_deref(), Some("[]"));
        assert_eq!(json(5).as_deref(), Some(r#"["ONE","FOUR"]"#));
        assert_eq!(json(0x86).as_deref(), Some(r#"["FOUR","0x82"]"#));
    }
}
