//! `--save-fullpage`: each full-page image as a file of its own.
//!
//! Names are `TIMELINE-LSN.TABLESPACE.DATABASE.RELATION.BLOCK_FORK`, as `pg_waldump` 16 and later give
//! them; 15 has no such option, and its images get the same names.

use std::io;
use std::path::{Path, PathBuf};

use base::{Lsn, PAGE_SIZE};
use wal::Record;
use wal::source::Segments;

use crate::failure::Failure;

/// Writes images into a directory.
#[derive(Debug)]
pub(super) struct ImageSaver {
    directory: PathBuf,
}

impl ImageSaver {
    /// Makes the directory, unless it is there and empty.
    pub(super) fn create(directory: &Path) -> Result<ImageSaver, Failure> {
        let name = directory.display();
        match std::fs::read_dir(directory) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    return Err(Failure::new(format_args!(
                        "directory \"{name}\" exists but is not empty: give an empty or a new one"
                    )));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                std::fs::create_dir_all(directory).map_err(|error| {
                    Failure::new(format_args!("could not create directory \"{name}\": {error}"))
                })?;
            }
            Err(error) => {
                return Err(Failure::new(format_args!(
                    "could not access directory \"{name}\": {error}"
                )));
            }
        }
        Ok(ImageSaver { directory: directory.to_owned() })
    }

    /// Writes the images of a record.
    pub(super) fn save(&self, record: &Record<'_>, segments: &dyn Segments) -> Result<(), Failure> {
        let mut page = [0; PAGE_SIZE];
        // The timeline of the segment that the record ends in, which is the one that PostgreSQL has open.
        let number = segments.segment_size().number_of(Lsn(record.end().0.saturating_sub(1)));
        for block in record.blocks().iter().filter(|block| block.has_image()) {
            wal::image::restore(record, block, &mut page).map_err(Failure::new)?;
            let name = format!(
                "{:08X}-{:08X}-{:08X}.{}.{}.{}.{}_{}",
                segments.timeline_of(number).0,
                record.start().0 >> 32,
                record.start().0 & 0xFFFF_FFFF,
                block.locator.tablespace,
                block.locator.database,
                block.locator.relation,
                block.block,
                block.fork,
            );
            let path = self.directory.join(name);
            std::fs::write(&path, page).map_err(|error| {
                Failure::new(format_args!("could not write file \"{}\": {error}", path.display()))
            })?;
        }
        Ok(())
    }
}
