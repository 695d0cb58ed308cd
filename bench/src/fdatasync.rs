//! The disk alone: what every durable commit is measured by.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Calls of `fdatasync` a second behind writes of 8 kB, into a file of zeros in this directory.
///
/// # Errors
/// As the disk says.
pub fn rate(directory: &Path, time: Duration) -> io::Result<f64> {
    let path = directory.join("fdatasync");
    let file = File::create(&path)?;
    file.write_all_at(&vec![0; 16 << 20], 0)?;
    file.sync_all()?;
    let page = [9; 8192];
    let (mut calls, began) = (0u64, Instant::now());
    while began.elapsed() < time {
        file.write_all_at(&page, calls % 2048 * 8192)?;
        file.sync_data()?;
        calls += 1;
    }
    let rate = calls as f64 / began.elapsed().as_secs_f64();
    drop(file);
    fs::remove_file(path)?;
    Ok(rate)
}
