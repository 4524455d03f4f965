//! What the system says about the process.
//!
//! For: INFO and MEMORY. May touch: files under /proc.
//! Always: what the system does not tell is absent, never guessed.

use std::fs::read_to_string;

/// Length of the ticks in which the kernel tells processor time.
const TICKS_PER_SECOND: f64 = 100.0;
/// Fields of a `stat` line behind the name in parentheses: user time is the twelfth.
const USER_TIME_AT: usize = 11;

/// Processor time in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    /// In the kernel.
    pub system_s: f64,
    /// In the program.
    pub user_s: f64,
    /// In the kernel, of children that ended.
    pub children_system_s: f64,
    /// In the program, of children that ended.
    pub children_user_s: f64,
}

/// Bytes of the process that are in memory.
pub fn resident_bytes() -> Option<usize> {
    kilobytes_of("/proc/self/status", "VmRSS:")
}

/// Bytes of memory that the machine has.
pub fn machine_bytes() -> Option<usize> {
    kilobytes_of("/proc/meminfo", "MemTotal:")
}

/// What a line such as `VmRSS:  1234 kB` says, in bytes.
fn kilobytes_of(path: &str, name: &str) -> Option<usize> {
    let text = read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kilobytes: usize = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

/// Processor time of all threads.
pub fn cpu_time() -> Option<CpuTime> {
    cpu_time_of(&read_to_string("/proc/self/stat").ok()?)
}

/// Processor time of the thread that `main` runs on.
pub fn main_thread_time() -> Option<CpuTime> {
    let pid = std::process::id();
    cpu_time_of(&read_to_string(format!("/proc/self/task/{pid}/stat")).ok()?)
}

fn cpu_time_of(stat: &str) -> Option<CpuTime> {
    // The name may hold anything, parentheses and blanks, too.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_ascii_whitespace().skip(USER_TIME_AT).map(str::parse::<f64>);
    let mut next = || Some(ticks.next()?.ok()? / TICKS_PER_SECOND);
    let (user_s, system_s) = (next()?, next()?);
    let (children_user_s, children_system_s) = (next()?, next()?);
    Some(CpuTime { system_s, user_s, children_system_s, children_user_s })
}

/// Name and release of the kernel, and the processor's architecture: `Linux 6.1.0 x86_64`.
pub fn system() -> Option<String> {
    let word = |name: &str| {
        let text = read_to_string(format!("/proc/sys/kernel/{name}")).ok()?;
        Some(text.trim().to_string())
    };
    Some(format!("{} {} {}", word("ostype")?, word("osrelease")?, std::env::consts::ARCH))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) b) R 1 7 7 0 -1 4194304 100 0 0 0 250 150 30 20 20 0 1 0 5 1 1";
        let time = CpuTime { user_s: 2.5, system_s: 1.5, children_user_s: 0.3, children_system_s: 0.2 };
        assert_eq!(cpu_time_of(stat), Some(time));
        assert_eq!(cpu_time_of("7 (a) R 1"), None);
        assert_eq!(cpu_time_of(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_everything() {
        assert!(resident_bytes().unwrap() > 100_000);
        assert!(machine_bytes().unwrap() > resident_bytes().unwrap());
        assert!(cpu_time().is_some() && main_thread_time().is_some());
        assert!(system().unwrap().starts_with("Linux "));
    }
}
