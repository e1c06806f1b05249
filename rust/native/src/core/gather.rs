//! Where the bytes of a request body gather: in memory first, in a file without a name when they are too many.
//!
//! Only the porter writes files. What is to be written leaves the `Gather` as a `Parcel`, at most one at a time, and comes
//! back with the file; meanwhile nothing more of the body is read.

use super::request::Body;
use crate::sys;
use std::fs::File;
use std::io;

/// Bytes that are written at once to a file that is there already.
const PIECE: usize = 256 * 1024;
/// How long the disk may take for a parcel (ns).
const DISK: u64 = 30_000_000_000;

/// A body under way. Invariant: while a parcel is away the file is with the porter, and `bytes` came after what it has.
pub struct Gather {
    /// What is in no file yet.
    bytes: Vec<u8>,
    file: Option<File>,
    /// Bytes of the body that are in the file.
    written: u64,
    /// Until when a parcel that is with the porter must be back (monotonic ns).
    back_by: Option<u64>,
}

/// Body bytes on their way into a file.
pub(super) struct Parcel {
    file: Option<File>,
    bytes: Vec<u8>,
    offset: u64,
}

/// A parcel that was written.
pub(super) struct Written {
    file: File,
    bytes: Vec<u8>,
    count: u64,
}

impl Gather {
    pub fn new() -> Self {
        Self {
            bytes: Vec::new(),
            file: None,
            written: 0,
            back_by: None,
        }
    }

    pub fn append(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Until when a parcel must be back from the porter (monotonic ns); none: none is there.
    pub(super) fn back_by(&self) -> Option<u64> {
        self.back_by
    }

    /// What is to be written now, where `most` bytes may stay in memory. `is_whole`: nothing more will come.
    pub(super) fn due(&mut self, most: usize, is_whole: bool, now: u64) -> Option<Parcel> {
        let is_due = match self.file {
            None => self.bytes.len() > most,
            Some(_) => self.bytes.len() >= PIECE || is_whole && !self.bytes.is_empty(),
        };
        if self.back_by.is_some() || !is_due {
            return None;
        }
        self.back_by = Some(now + DISK);
        Some(Parcel {
            file: self.file.take(),
            bytes: std::mem::take(&mut self.bytes),
            offset: self.written,
        })
    }

    /// The parcel is back.
    pub(super) fn take_back(&mut self, written: Written) {
        self.back_by = None;
        self.file = Some(written.file);
        self.written += written.count;
        if self.bytes.is_empty() {
            self.bytes = written.bytes; // its memory serves again
        }
    }

    /// The whole body.
    pub fn finish(self) -> Body {
        match self.file {
            Some(file) => Body::File(file, self.written),
            None if self.bytes.is_empty() => Body::Empty,
            None => Body::Memory(self.bytes),
        }
    }
}

impl Parcel {
    /// Writes it, to a new file in `directory` if there is none. May wait for the disk.
    pub(super) fn write(self, directory: &str) -> io::Result<Written> {
        let Self {
            file,
            mut bytes,
            offset,
        } = self;
        let file = match file {
            Some(file) => file,
            None => sys::temporary_file(directory)?,
        };
        sys::write_all_at(&file, &bytes, offset)?;
        let count = bytes.len() as u64;
        bytes.clear();
        Ok(Written { file, bytes, count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(parcel: Parcel) -> Written {
        parcel
            .write(&std::env::temp_dir().to_string_lossy())
            .expect("room for a file")
    }

    #[test]
    fn a_short_body_stays_in_memory() {
        let mut gather = Gather::new();
        gather.append(b"abc");
        assert!(gather.due(3, true, 0).is_none());
        assert!(matches!(gather.finish(), Body::Memory(bytes) if bytes == b"abc"));
        assert!(matches!(Gather::new().finish(), Body::Empty));
    }

    #[test]
    fn a_long_body_is_written_in_large_pieces() {
        let mut gather = Gather::new();
        gather.append(b"abcd");
        let first = gather.due(3, false, 0).expect("too much for memory");
        assert_eq!(gather.back_by(), Some(DISK));
        gather.append(b"e");
        assert!(gather.due(3, true, 0).is_none(), "one parcel at a time");
        gather.take_back(write(first));
        assert!(gather.due(3, false, 0).is_none(), "too little for a write");
        for _ in 0..PIECE {
            gather.append(b"f");
        }
        let second = gather.due(3, false, 0).expect("a piece");
        gather.take_back(write(second));
        gather.append(b"g");
        let last = gather.due(3, true, 0).expect("the rest");
        gather.take_back(write(last));
        let Body::File(file, length) = gather.finish() else {
            panic!("no file")
        };
        assert_eq!(length, 6 + PIECE as u64);
        let mut end = Vec::new();
        sys::read_at(&file, &mut end, 9, length - 2).expect("the end");
        assert_eq!(end, b"fg");
    }
}
