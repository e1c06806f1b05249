//! No descriptor of ours is a standard stream, whatever the app has closed. A test binary of its own: it closes its
//! standard input, output and error.

use _native::sys::{accept, duplicate, open_file, temporary_file, Epoll, Wake};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Closes a standard stream, runs `open`, and says which number its descriptor has.
fn without(stream: RawFd, open: &dyn Fn() -> OwnedFd) -> RawFd {
    // SAFETY: the number is no Rust object's.
    drop(unsafe { OwnedFd::from_raw_fd(stream) });
    let opened = open();
    let found = std::fs::read_link(format!("/proc/self/fd/{stream}")).expect("the number is taken again");
    assert_eq!(found.to_str(), Some("/dev/null"));
    opened.as_raw_fd()
}

/// The standard streams as they were, put back at the end: the test's result is written there.
struct Saved([OwnedFd; 3]);

impl Saved {
    fn new() -> Self {
        Self([0, 1, 2].map(|stream| duplicate(stream).expect("a copy")))
    }
}

impl Drop for Saved {
    fn drop(&mut self) {
        for (stream, saved) in self.0.iter().enumerate() {
            // SAFETY: no pointers; the number is no Rust object's.
            unsafe { libc::dup2(saved.as_raw_fd(), stream as RawFd) };
        }
    }
}

#[test]
fn new_descriptors_are_above_the_standard_streams_which_are_filled_again() {
    let saved = Saved::new();
    let directory = std::env::temp_dir();
    let ways: [&dyn Fn() -> OwnedFd; 4] = [
        &|| duplicate(Epoll::new().expect("a set").as_raw_fd()).expect("a copy"),
        &|| duplicate(Wake::new().expect("an event").as_raw_fd()).expect("a copy"),
        &|| {
            temporary_file(directory.to_str().expect("a name"))
                .expect("a file")
                .into()
        },
        &|| open_file("/proc/self/stat").expect("a file").into(),
    ];
    for stream in 0..3 {
        for open in ways {
            assert!(without(stream, open) > 2);
        }
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("a connection");
    let number = without(2, &|| accept(listener.as_raw_fd()).expect("it waits").0);
    assert!(number > 2);
    drop((client, saved));
}
