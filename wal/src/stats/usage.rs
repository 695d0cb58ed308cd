//! What a relation or a transaction made the log grow by.

use std::fmt::{self, Write as _};

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::image_cause::Images;
use super::percentage;
use crate::text::Text;

/// Records, their bytes, and their images by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of records.
    pub records: u64,
    /// Their bytes without images.
    pub record_bytes: u64,
    /// Their images.
    pub images: Images,
}

impl Usage {
    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.record_bytes + self.images.total().bytes
    }

    pub(super) fn add(&mut self, other: &Usage) {
        self.records += other.records;
        self.record_bytes += other.record_bytes;
        self.images.add(&other.images);
    }

    /// Names of the columns of [`Usage::push_csv`].
    pub(super) const CSV_HEADER: &str = "records,record_bytes,image_bytes,bytes,first_touch_images,first_touch_bytes,\
         hint_bit_images,hint_bit_bytes,forced_images,forced_bytes,verification_images,\
         verification_bytes";

    pub(super) fn push_csv(&self, out: &mut Text) {
        let images = self.images.total();
        out.int(self.records).str(",").int(self.record_bytes).str(",").int(images.bytes);
        out.str(",").int(self.bytes());
        for (_, counts) in self.images.by_cause() {
            out.str(",").int(counts.count).str(",").int(counts.bytes);
        }
    }

    /// Heads of the columns of [`Usage::write_columns`], and a line under them: sizes in bytes, then the
    /// number of images by cause.
    pub(super) fn heads() -> [String; 2] {
        let titles = ["Records", "Record size", "FPI size", "Combined size"];
        let causes = ["First touch", "Hint bit", "Forced", "Verification"];
        let mut heads = [String::new(), String::new()];
        for (head, is_line) in heads.iter_mut().zip([false, true]) {
            let shown =
                |title: &str| if is_line { "-".repeat(title.len()) } else { title.to_owned() };
            // Writing into memory does not fail.
            for title in titles {
                let _ = write!(head, " {:>13} {:>8}", shown(title), shown("(%)"));
            }
            for cause in causes {
                let _ = write!(head, " {:>12}", shown(cause));
            }
        }
        heads
    }

    /// The numbers with their share of the total.
    pub(super) fn write_columns(&self, total: &Usage, out: &mut Text) -> fmt::Result {
        for (part, whole) in [
            (self.records, total.records),
            (self.record_bytes, total.record_bytes),
            (self.images.total().bytes, total.images.total().bytes),
            (self.bytes(), total.bytes()),
        ] {
            write!(out, " {part:>13} ({:6.2})", percentage(part, whole))?;
        }
        for (_, counts) in self.images.by_cause() {
            write!(out, " {:>12}", counts.count)?;
        }
        Ok(())
    }
}

/// With the sums that readers would have to make themselves.
impl Serialize for Usage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Usage", 5)?;
        fields.serialize_field("records", &self.records)?;
        fields.serialize_field("record_bytes", &self.record_bytes)?;
        fields.serialize_field("image_bytes", &self.images.total().bytes)?;
        fields.serialize_field("bytes", &self.bytes())?;
        fields.serialize_field("images", &self.images)?;
        fields.end()
    }
}
