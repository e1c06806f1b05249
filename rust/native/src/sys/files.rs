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

/// The size of a regular file; none for pipes, sockets and the like.
pub fn regular_file_size(fd: RawFd) -> Option<u64> {
    // SAFETY: all zeros is a valid stat; the call only writes to it.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let known = unsafe { libc::fstat(fd, &mut stat) } == 0 && stat.st_mode & libc::S_IFMT == libc::S_IFREG;
    known.then_some(stat.st_size as u64)
}

/// A second descriptor of the same open file.
pub fn duplicate(fd: RawFd) -> Option<std::os::fd::OwnedFd> {
    // SAFETY: no pointers.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    own(super::check(copy).ok()?).ok()
}

/// Whether a short line (up to 4096 bytes, pipe(7)) can be written without waiting.
pub fn takes_a_line(fd: RawFd) -> bool {
    let mut ready = libc::pollfd {
        fd,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&mut ready, 1, 0) > 0 }
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
