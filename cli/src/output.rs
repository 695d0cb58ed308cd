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
        let descriptor = io::stdout().as_fd().try_clone_to_owned();
        let descriptor = descriptor.map_err(|error| Failure::new(named(error)))?;
        Ok(Output { file: File::from(descriptor) })
    }

    /// Writes all of a text.
    pub(crate) fn write_text(&mut self, text: &Text) -> Result<(), Failure> {
        self.write_bytes(text.as_bytes())
    }

    /// Writes all of the bytes.
    pub(crate) fn write_bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.write_all(bytes).map_err(Failure::new)
    }
}

/// Its errors say what could not be written.
impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(named)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn named(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("could not write to standard output: {error}"))
}
