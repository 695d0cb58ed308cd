//! Why records carry full-page images, and how many bytes for each reason.
//!
//! A record does not say why an image is in it; its type does, since every place in the server that forces
//! one writes a type of its own:
//!
//! | cause | where |
//! |---|---|
//! | verification | images that redo only compares (`wal_consistency_checking`) |
//! | hint bit | XLOG/FPI_FOR_HINT: only hint bits changed, with checksums or `wal_log_hints` |
//! | forced | XLOG/FPI; Gin/SPLIT, blocks 0 to 2; Gin/VACUUM_PAGE; Hash/SPLIT_PAGE (`REGBUF_FORCE_IMAGE`) |
//! | first touch | all others: the first change of the page after a checkpoint, or within a backup |
//!
//! What this cannot tell apart: images that Generic records force (of pages that an extension makes anew)
//! count as first touch, and a forced image counts as forced where the page would have been touched first
//! by it anyway.

use serde::Serialize;

use crate::record::{BlockRef, Record};

/// Why an image is in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageCause {
    /// The page changed for the first time after a checkpoint.
    FirstTouch,
    /// Only hint bits of the page changed.
    HintBit,
    /// Records of this type carry the page whole, whenever it was touched before.
    Forced,
    /// Redo compares the page with it, and no more.
    Verification,
}

const XLOG: u8 = 0;
const XLOG_FPI_FOR_HINT: u8 = 0xA0;
const XLOG_FPI: u8 = 0xB0;
const HASH: u8 = 12;
const HASH_SPLIT_PAGE: u8 = 0x50;
const GIN: u8 = 13;
const GIN_SPLIT: u8 = 0x30;
const GIN_VACUUM_PAGE: u8 = 0x40;

impl ImageCause {
    /// Of the image that comes with `block`.
    pub fn of(record: &Record<'_>, block: &BlockRef) -> ImageCause {
        if !block.applies_image() {
            return ImageCause::Verification;
        }
        match (record.rmid(), record.info()) {
            (XLOG, XLOG_FPI_FOR_HINT) => ImageCause::HintBit,
            (XLOG, XLOG_FPI) | (GIN, GIN_VACUUM_PAGE) | (HASH, HASH_SPLIT_PAGE) => {
                ImageCause::Forced
            }
            // Block 3 is the child whose split is finished.
            (GIN, GIN_SPLIT) if block.id < 3 => ImageCause::Forced,
            _ => ImageCause::FirstTouch,
        }
    }
}

/// Images of one cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ImageCounts {
    /// How many.
    pub count: u64,
    /// Their bytes as stored.
    pub bytes: u64,
}

/// Images by cause.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "each field is the cause of its name")]
pub struct Images {
    pub first_touch: ImageCounts,
    pub hint_bit: ImageCounts,
    pub forced: ImageCounts,
    pub verification: ImageCounts,
}

impl Images {
    /// The causes by name.
    pub fn by_cause(&self) -> [(&'static str, ImageCounts); 4] {
        [
            ("first touch", self.first_touch),
            ("hint bit", self.hint_bit),
            ("forced", self.forced),
            ("verification", self.verification),
        ]
    }

    /// Over all causes.
    pub fn total(&self) -> ImageCounts {
        self.by_cause().iter().fold(ImageCounts::default(), |sum, (_, counts)| ImageCounts {
            count: sum.count + counts.count,
            bytes: sum.bytes + counts.bytes,
        })
    }

    pub(super) fn count(&mut self, record: &Record<'_>, block: &BlockRef) {
        let counts = match ImageCause::of(record, block) {
            ImageCause::FirstTouch => &mut self.first_touch,
            ImageCause::HintBit => &mut self.hint_bit,
            ImageCause::Forced => &mut self.forced,
            ImageCause::Verification => &mut self.verification,
        };
        counts.count += 1;
        counts.bytes += u64::from(block.image_length);
    }

    pub(super) fn add(&mut self, other: &Images) {
        for (sum, counts) in [
            (&mut self.first_touch, other.first_touch),
            (&mut self.hint_bit, other.hint_bit),
            (&mut self.forced, other.forced),
            (&mut self.verification, other.verification),
        ] {
            sum.count += counts.count;
            sum.bytes += counts.bytes;
        }
    }
}
