//! Other processes, as far as a lock file speaks of them.

use std::fmt::Debug;
use std::path::Path;

use base::disk::{Disk, RealDisk};
use rustix::process::{Pid, test_kill_process};

/// What is asked of the operating system about processes; a test has its own answers.
pub trait Processes: Debug {
    /// This process's id.
    fn own_id(&self) -> i32;

    /// Whether the id is that of this process's parent.
    fn is_parent(&self, id: i32) -> bool;

    /// Whether a process of this id runs that this one could signal.
    fn is_alive(&self, id: i32) -> bool;

    /// Whether some process is attached to the System V shared memory segment with this key and id.
    fn is_attached(&self, key: u64, id: u64) -> bool;
}

/// The operating system's own answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemProcesses;

impl Processes for SystemProcesses {
    fn own_id(&self) -> i32 {
        std::process::id() as i32
    }

    fn is_parent(&self, id: i32) -> bool {
        std::os::unix::process::parent_id() as i32 == id
    }

    /// A process that may not be signalled is another user's and does not work in this user's directory
    /// (`CreateLockFile` argues the same).
    fn is_alive(&self, id: i32) -> bool {
        use rustix::io::Errno;
        let Some(id) = Pid::from_raw(id) else { return false };
        !matches!(test_kill_process(id), Err(Errno::SRCH | Errno::PERM))
    }

    fn is_attached(&self, key: u64, id: u64) -> bool {
        let Ok(file) = RealDisk.open(Path::new("/proc/sysvipc/shm")) else { return false };
        let mut bytes = vec![0; 1 << 20];
        let length = file.read_at(&mut bytes, 0).unwrap_or(0);
        is_attached(&String::from_utf8_lossy(&bytes[..length]), key, id)
    }
}

/// Looks a segment up in the text of `/proc/sysvipc/shm`: key, id, permissions, size, creator, last process, number of
/// processes attached, and more. Keys are signed there.
fn is_attached(table: &str, key: u64, id: u64) -> bool {
    table.lines().skip(1).any(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<i64>().ok());
        number(0).is_some_and(|found| found as u32 == key as u32)
            && number(1) == i64::try_from(id).ok()
            && number(6).is_some_and(|attached| attached > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_in_use_while_a_process_is_attached() {
        let table = "       key      shmid perms                  size  cpid  lpid nattch   uid\n\
                     \x20 50397402          2   600                    56  4242  4243      1   101\n\
                     \x20-17301504          3   600                    56  4242  4243      0   101\n";
        assert!(is_attached(table, 50_397_402, 2));
        assert!(!is_attached(table, 50_397_402, 3), "another segment");
        assert!(!is_attached(table, 50_397_403, 2), "another key");
        assert!(!is_attached(table, u64::from(-17_301_504_i32 as u32), 3), "nobody is attached");
        assert!(!is_attached("", 1, 1));
    }

    #[test]
    fn a_process_is_alive_until_it_is_waited_for() -> std::io::Result<()> {
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn()?;
        let id = child.id() as i32;
        assert!(SystemProcesses.is_alive(id) && SystemProcesses.is_alive(SystemProcesses.own_id()));
        drop(child.stdin.take());
        child.wait()?;
        assert!(!SystemProcesses.is_alive(id));
        assert!(!SystemProcesses.is_alive(0));
        Ok(())
    }
}
