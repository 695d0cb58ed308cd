//! Reading the control file of a data directory, which a running server may be writing.

use std::io;
use std::path::Path;
use std::time::Duration;

use base::disk::Disk;
use base::sync::thread;

use super::{CONTROL_DATA_SIZE, RawControl};
use crate::version::Version;

/// The file within a data directory.
pub const PATH: &str = "global/pg_control";

/// How often the file is read again at most, and how long to wait before, as PostgreSQL's tools do.
const RETRIES: u32 = 10;
const RETRY_AFTER: Duration = Duration::from_millis(10);

/// Why there is no control file to look at, in the words of PostgreSQL's tools.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be opened.
    #[error("could not open file \"{path}\" for reading: {}", system_text(.error))]
    Open {
        /// The file.
        path: String,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// It cannot be read.
    #[error("could not read file \"{path}\": {}", system_text(.error))]
    Read {
        /// The file.
        path: String,
        /// What the operating system says.
        #[source]
        error: io::Error,
    },
    /// It is shorter than what it should hold.
    #[error("could not read file \"{path}\": read {length} of {CONTROL_DATA_SIZE}")]
    Short {
        /// The file.
        path: String,
        /// Its length in bytes.
        length: usize,
    },
}

/// The system's own text, without the number that Rust puts behind it.
fn system_text(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// Reads the control file of a data directory. A server may be writing it at the same time: where the
/// checksum is wrong, the file is read again until it is right or wrong twice in the same way.
///
/// # Errors
/// Where the file is missing, unreadable or too short; not for what is in it.
pub fn load(disk: &dyn Disk, data_directory: &Path) -> Result<RawControl, LoadError> {
    let version = data_directory_version(disk, data_directory);
    let mut control = load_once(disk, data_directory, version)?;
    for _ in 0..RETRIES {
        if control.checksum_is_right() {
            break;
        }
        thread::sleep(RETRY_AFTER);
        let before = control.computed_crc;
        control = load_once(disk, data_directory, version)?;
        if control.computed_crc == before {
            break;
        }
    }
    Ok(control)
}

fn load_once(
    disk: &dyn Disk,
    data_directory: &Path,
    version: Option<Version>,
) -> Result<RawControl, LoadError> {
    // Not Path::join: PostgreSQL puts a slash between, whatever the directory ends with.
    let mut path = data_directory.as_os_str().to_owned();
    path.push("/");
    path.push(PATH);
    let name = path.to_string_lossy().into_owned();
    let file = match disk.open(Path::new(&path)) {
        Ok(file) => file,
        // PostgreSQL can open a directory, and then cannot read it.
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => {
            let error = io::Error::new(error.kind(), "Is a directory");
            return Err(LoadError::Read { path: name, error });
        }
        Err(error) => return Err(LoadError::Open { path: name, error }),
    };
    let mut bytes = [0; CONTROL_DATA_SIZE];
    match file.read_at(&mut bytes, 0) {
        Ok(CONTROL_DATA_SIZE) => Ok(RawControl::read(&bytes, version)),
        Ok(length) => Err(LoadError::Short { path: name, length }),
        Err(error) => Err(LoadError::Read { path: name, error }),
    }
}

/// What `PG_VERSION` says, if it can be read and says one of the known versions.
fn data_directory_version(disk: &dyn Disk, data_directory: &Path) -> Option<Version> {
    let mut bytes = [0; 16];
    let file = disk.open(&data_directory.join("PG_VERSION")).ok()?;
    let length = file.read_at(&mut bytes, 0).ok()?;
    let text = std::str::from_utf8(&bytes[..length]).ok()?;
    Version::from_major(text.trim_end().parse().ok()?)
}
