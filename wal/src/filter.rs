//! Which records are of interest: by resource manager, transaction, relation, block, fork, image.
//!
//! A record passes if it meets every condition that is set. Within one condition any of its values will
//! do; relation, block and fork must be met by one and the same block reference. Source: the filters of
//! `pg_waldump.c`; several relations are ours.

use base::{BlockNumber, ForkNumber, RelFileLocator, Xid};

use crate::record::{BlockRef, Record};
use crate::rmgr::{MIN_CUSTOM_ID, TABLE};

/// Conditions on a record; the default has none.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    resource_managers: Option<Box<[bool; 256]>>,
    /// The record's own transaction; [`Xid::INVALID`] asks for records of none.
    pub xid: Option<Xid>,
    relations: Vec<RelFileLocator>,
    /// A block of one of the relations.
    pub block: Option<BlockNumber>,
    /// A fork of any relation, or of one of the relations.
    pub fork: Option<ForkNumber>,
    /// Only records with an image.
    pub has_image: bool,
}

impl Filter {
    /// Also lets records of resource manager `id` pass.
    pub fn add_resource_manager(&mut self, id: u8) {
        self.resource_managers.get_or_insert_with(|| Box::new([false; 256]))[usize::from(id)] =
            true;
    }

    /// Also lets records with a block of `relation` pass.
    pub fn add_relation(&mut self, relation: RelFileLocator) {
        if !self.relations.contains(&relation) {
            self.relations.push(relation);
        }
    }

    /// Whether there is no condition.
    pub fn is_empty(&self) -> bool {
        self.resource_managers.is_none()
            && self.xid.is_none()
            && !self.looks_at_blocks()
            && !self.has_image
    }

    fn looks_at_blocks(&self) -> bool {
        !self.relations.is_empty() || self.block.is_some() || self.fork.is_some()
    }

    /// Whether the record meets every condition.
    #[inline]
    pub fn matches(&self, record: &Record<'_>) -> bool {
        if let Some(wanted) = &self.resource_managers
            && !wanted[usize::from(record.rmid())]
        {
            return false;
        }
        if self.xid.is_some_and(|xid| xid != record.xid()) {
            return false;
        }
        if self.looks_at_blocks() && !record.blocks().iter().any(|block| self.matches_block(block))
        {
            return false;
        }
        !self.has_image || record.blocks().iter().any(BlockRef::has_image)
    }

    fn matches_block(&self, block: &BlockRef) -> bool {
        self.fork.is_none_or(|fork| fork == block.fork)
            && self.block.is_none_or(|number| number == block.block)
            && (self.relations.is_empty() || self.relations.contains(&block.locator))
    }
}

/// The resource manager of a name as `pg_waldump --rmgr` takes it: a built-in one in any case, or
/// `custom` and its number, which starts from 128.
pub fn resource_manager_of_name(name: &str) -> Option<u8> {
    if let Some(digits) = name.strip_prefix("custom")
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return digits.parse().ok().filter(|id| *id >= MIN_CUSTOM_ID);
    }
    TABLE.iter().find(|manager| manager.name.eq_ignore_ascii_case(name)).map(|manager| manager.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_resource_managers() {
        assert_eq!(resource_manager_of_name("heap2"), Some(9));
        assert_eq!(resource_manager_of_name("custom128"), Some(128));
        assert_eq!(resource_manager_of_name("custom255"), Some(255));
        for name in ["custom127", "custom256", "custom", "Custom128", "heap3", ""] {
            assert_eq!(resource_manager_of_name(name), None, "{name}");
        }
    }
}
