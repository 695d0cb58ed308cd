//! Standard output, without a buffer of its own: what is written here is large already.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

use wal::text::Text;

use crate::failure::Failure;

/// Standard output.
#[derive(Debug)]
pub(crate) struct Output {
    file: File,
}

impl Output {
    /// Opens it; fails where the process was started with it closed.
    pub(crate) fn open() -> Result<Output, Failure> {
        let descriptor = io::stdout().as_fd().try_clone_to_owned().map_err(failure)?;
        Ok(Output { file: File::from(descriptor) })
    }

    /// Writes all of a text.
    pub(crate) fn write(&mut self, text: &Text) -> Result<(), Failure> {
        self.write_bytes(text.as_bytes())
    }

    /// Writes all of the bytes.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.file.write_all(bytes).map_err(failure)
    }
}

fn failure(error: io::Error) -> Failure {
    Failure::new(format_args!("could not write to standard output: {error}"))
}
