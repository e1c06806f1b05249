//! Files: request bodies too large for memory, log lines.

use super::check_size;
use super::descriptor::own;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

/// A file without a name in `directory`: it is gone when the last descriptor closes, whatever happens to us.
pub fn temporary_file(directory: &str) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    {
        let path = CString::new(directory)?;
        let flags = libc::O_TMPFILE | libc::O_RDWR | libc::O_CLOEXEC;
        // SAFETY: `path` is a C string that outlives the call.
        let fd = unsafe { libc::open(path.as_ptr(), flags, 0o600) };
        if fd >= 0 {
            return Ok(own(fd)?.into());
        }
    }
    named_then_unlinked(directory)
}

/// For file systems without O_TMPFILE (overlayfs before Linux 6.1, NFS).
fn named_then_unlinked(directory: &str) -> io::Result<File> {
    let mut template = CString::new(format!("{directory}/hostler-XXXXXX"))?.into_bytes_with_nul();
    // SAFETY: the template is writable and NUL-terminated, as mkstemp needs.
    let fd = unsafe { libc::mkstemp(template.as_mut_ptr().cast()) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    let fd = own(fd)?;
    // SAFETY: mkstemp has filled in the name, and the descriptor is ours.
    unsafe {
        libc::unlink(template.as_ptr().cast());
        libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
    }
    Ok(fd.into())
}

/// Opens a file to read it.
pub fn open_file(path: &str) -> io::Result<File> {
    let path = CString::new(path)?;
    // SAFETY: `path` is a C string that outlives the call.
    let fd = super::check(unsafe { libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) })?;
    Ok(own(fd)?.into())
}

/// A file that lies in memory and has no name.
#[cfg(target_os = "linux")]
pub fn memory_file() -> io::Result<File> {
    // SAFETY: the name is a C string.
    let fd = super::check(unsafe { libc::memfd_create(c"hostler-body".as_ptr(), libc::MFD_CLOEXEC) })?;
    Ok(own(fd)?.into())
}

/// A file that has no name.
#[cfg(not(target_os = "linux"))]
pub fn memory_file() -> io::Result<File> {
    temporary_file(&std::env::temp_dir().to_string_lossy())
}

/// Writes all of `bytes` at `offset`.
pub fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.write_all_at(bytes, offset)
}

/// Appends up to `most` bytes from `offset` to `buffer`; returns how many the file had.
pub fn read_at(file: &impl AsRawFd, buffer: &mut Vec<u8>, most: usize, offset: u64) -> io::Result<usize> {
    buffer.reserve(most);
    let spare = &mut buffer.spare_capacity_mut()[..most];
    // SAFETY: the kernel writes at most `most` bytes into the vector's own spare memory.
    let count =
        check_size(unsafe { libc::pread(file.as_raw_fd(), spare.as_mut_ptr().cast(), most, offset as libc::off_t) })?;
    // SAFETY: `count` bytes behind the old length have just been initialised.
    unsafe { buffer.set_len(buffer.len() + count) };
    Ok(count)
}

/// Whether these bytes of a file can be had without waiting for a disk, as far as the first and the last of them tell
/// (preadv2(2), RWF_NOWAIT). True where the file system does not say.
#[cfg(target_os = "linux")]
pub fn is_in_memory(fd: RawFd, offset: u64, count: u64) -> bool {
    let is_there = |at: u64| {
        let mut byte = 0u8;
        let part = libc::iovec {
            iov_base: (&raw mut byte).cast(),
            iov_len: 1,
        };
        // SAFETY: the kernel writes at most one byte, into `byte`.
        let result = check_size(unsafe { libc::preadv2(fd, &part, 1, at as libc::off_t, libc::RWF_NOWAIT) });
        !matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    };
    is_there(offset) && is_there(offset + count.saturating_sub(1))
}

#[cfg(not(target_os = "linux"))]
pub fn is_in_memory(_fd: RawFd, _offset: u64, _count: u64) -> bool {
    true
}

/// How many bytes an open file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSize {
    /// A regular file of so many bytes.
    Known(u64),
    /// A regular file that ends where reading ends: its size says something else. Files of /proc have size 0, those of
    /// /sys the size of a page, whatever is in them.
    Unknown,
    /// A pipe, a socket, a directory; or nothing that is open.
    NoFile,
}

/// The size of a file, as far as it can be believed (stat(2), proc(5)).
///
/// A file with blocks on a disk has the size that it says. One without any is asked for its last byte and for one more:
/// it may be empty, sparse or in memory, or else made up by the kernel or a FUSE server when it is read.
pub fn file_size(fd: RawFd) -> FileSize {
    let Some((size, has_blocks)) = stat(fd) else {
        return FileSize::NoFile;
    };
    if size > 0 && has_blocks {
        return FileSize::Known(size);
    }
    let mut bytes = Vec::new();
    let expected = usize::from(size > 0);
    match read_at(&fd, &mut bytes, 2, size.saturating_sub(1)) {
        Ok(count) if count == expected => FileSize::Known(size),
        // It may have grown since it was asked: then it is none of those whose size stands still.
        Ok(count) if count > expected => match stat(fd) {
            Some((now, _)) if now > size => FileSize::Known(now),
            _ => FileSize::Unknown,
        },
        _ => FileSize::Unknown,
    }
}

/// The size that a regular file says it has, and whether it has blocks; none for what is none.
fn stat(fd: RawFd) -> Option<(u64, bool)> {
    // SAFETY: all zeros is a valid stat; the call only writes to it.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let known = unsafe { libc::fstat(fd, &mut stat) } == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFREG;
    known.then_some((stat.st_size as u64, stat.st_blocks > 0))
}

/// A second descriptor of the same open file.
pub fn duplicate(fd: RawFd) -> Option<std::os::fd::OwnedFd> {
    // SAFETY: no pointers.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    own(super::check(copy).ok()?).ok()
}

/// Writes all of `bytes` to a log's descriptor, waiting where it blocks.
pub fn append(fd: RawFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        // SAFETY: the slice is valid for the call.
        match check_size(unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) }) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut ready = libc::pollfd {
                    fd,
                    events: libc::POLLOUT,
                    revents: 0,
                };
                // SAFETY: one valid pollfd.
                unsafe { libc::poll(&mut ready, 1, 1000) };
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    fn size_of_file(file: &impl AsRawFd) -> FileSize {
        file_size(file.as_raw_fd())
    }

    #[test]
    fn files_with_content_of_their_own_have_a_size() {
        let mut file = temporary_file(&std::env::temp_dir().to_string_lossy()).expect("a file");
        assert_eq!(size_of_file(&file), FileSize::Known(0));
        file.write_all(&[1; 10_000]).expect("room");
        assert_eq!(size_of_file(&file), FileSize::Known(10_000));
        file.set_len(5).expect("shorter");
        assert_eq!(size_of_file(&file), FileSize::Known(5));
        file.set_len(0).expect("empty");
        file.set_len(1 << 30).expect("sparse");
        assert_eq!(size_of_file(&file), FileSize::Known(1 << 30));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn files_that_are_made_when_they_are_read_have_none() {
        for path in ["/proc/self/status", "/proc/cpuinfo", "/sys/devices/system/cpu/online"] {
            let file = File::open(path).expect("a file of Linux");
            assert_eq!(size_of_file(&file), FileSize::Unknown, "{path}");
        }
    }

    #[test]
    fn what_is_no_regular_file_is_said_to_be_none() {
        let (socket, _other) = UnixStream::pair().expect("sockets");
        assert_eq!(size_of_file(&socket), FileSize::NoFile);
        assert_eq!(size_of_file(&File::open("/").expect("a directory")), FileSize::NoFile);
        assert_eq!(file_size(-1), FileSize::NoFile);
    }
}
