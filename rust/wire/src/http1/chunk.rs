//! The syntax of a chunked body (RFC 9112 §7.1), as a table of transitions.
//!
//! ```text
//! chunked-body = *chunk last-chunk trailer-section CRLF
//! chunk        = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
//! chunk-ext    = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
//! ```
//!
//! One byte, one transition; a pair that is not in the table is refused and changes nothing. Knows no lengths and no
//! limits: the decoder counts, and tells where a chunk's data ends. In the table, `Data` is therefore left by the
//! decoder alone, and the end of a size line leads to `Data` or to the trailers as `last` says.

use super::chars::{self, HEX, SPACE, TOKEN, VALUE};

/// Where in the framing the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    /// The first digit of a size.
    SizeStart,
    /// More digits, an extension, or the end of the line.
    Size,
    /// Whitespace that only an extension may follow.
    ExtSpace,
    /// Behind ";", before the name.
    ExtStart,
    /// In an extension's name.
    ExtName,
    /// Whitespace behind a name.
    ExtNameSpace,
    /// Behind "=", before the value.
    ExtValueStart,
    /// In a token.
    ExtValue,
    /// In a quoted string.
    ExtQuoted,
    /// Behind a backslash in a quoted string.
    ExtEscaped,
    /// Behind a quoted string.
    ExtQuotedEnd,
    /// The LF of a size line.
    SizeLf,
    /// In a chunk's data.
    Data,
    /// The CR behind the data.
    DataCr,
    /// The LF behind the data.
    DataLf,
    /// The first byte of a trailer line.
    TrailerStart,
    /// In a trailer's name.
    TrailerName,
    /// In a trailer's value.
    TrailerValue,
    /// The LF of a trailer line.
    TrailerLf,
    /// The LF of the empty line that ends the body.
    EndLf,
    /// Behind the body.
    Done,
}

impl At {
    /// The state behind `byte`; `last`: the size line at hand said zero.
    #[inline]
    pub(super) fn next(self, byte: u8, last: bool) -> Option<Self> {
        match self {
            Self::SizeStart => chars::is(byte, HEX).then_some(Self::Size),
            Self::Size if chars::is(byte, HEX) => Some(Self::Size),
            Self::Size => end_of_item(byte),
            Self::SizeLf if byte != b'\n' => None,
            Self::SizeLf if last => Some(Self::TrailerStart),
            Self::SizeLf => Some(Self::Data),
            Self::DataCr => (byte == b'\r').then_some(Self::DataLf),
            Self::DataLf => (byte == b'\n').then_some(Self::SizeStart),
            Self::TrailerStart | Self::TrailerName | Self::TrailerValue | Self::TrailerLf | Self::EndLf => {
                self.next_in_trailer(byte)
            }
            Self::Data | Self::Done => None,
            _ => self.next_in_extension(byte),
        }
    }

    // One line per pair of the table, also where two lines end in the same state.
    #[allow(clippy::match_same_arms)]
    fn next_in_extension(self, byte: u8) -> Option<Self> {
        let token = chars::is(byte, TOKEN);
        let space = chars::is(byte, SPACE);
        match self {
            Self::ExtSpace if space => Some(Self::ExtSpace),
            Self::ExtSpace => (byte == b';').then_some(Self::ExtStart),
            Self::ExtStart if space => Some(Self::ExtStart),
            Self::ExtStart => token.then_some(Self::ExtName),
            Self::ExtName if token => Some(Self::ExtName),
            Self::ExtName | Self::ExtNameSpace if space => Some(Self::ExtNameSpace),
            Self::ExtName | Self::ExtNameSpace if byte == b'=' => Some(Self::ExtValueStart),
            Self::ExtName => end_of_item(byte),
            Self::ExtNameSpace => (byte == b';').then_some(Self::ExtStart),
            Self::ExtValueStart if space => Some(Self::ExtValueStart),
            Self::ExtValueStart if byte == b'"' => Some(Self::ExtQuoted),
            Self::ExtValueStart => token.then_some(Self::ExtValue),
            Self::ExtValue if token => Some(Self::ExtValue),
            Self::ExtQuoted if byte == b'"' => Some(Self::ExtQuotedEnd),
            Self::ExtQuoted if byte == b'\\' => Some(Self::ExtEscaped),
            Self::ExtQuoted | Self::ExtEscaped => chars::is(byte, VALUE).then_some(Self::ExtQuoted),
            Self::ExtValue | Self::ExtQuotedEnd => end_of_item(byte),
            _ => None,
        }
    }

    /// Trailer lines have the syntax of header lines (RFC 9112 §7.1.2), unfolded.
    fn next_in_trailer(self, byte: u8) -> Option<Self> {
        match self {
            Self::TrailerStart if byte == b'\r' => Some(Self::EndLf),
            Self::TrailerName if byte == b':' => Some(Self::TrailerValue),
            Self::TrailerStart | Self::TrailerName => chars::is(byte, TOKEN).then_some(Self::TrailerName),
            Self::TrailerValue if byte == b'\r' => Some(Self::TrailerLf),
            Self::TrailerValue => chars::is(byte, VALUE).then_some(Self::TrailerValue),
            Self::TrailerLf => (byte == b'\n').then_some(Self::TrailerStart),
            Self::EndLf => (byte == b'\n').then_some(Self::Done),
            _ => None,
        }
    }

    /// What the log says about a byte that has no transition from here.
    pub(super) const fn fault(self) -> &'static str {
        match self {
            Self::SizeStart => "a chunk without a size",
            Self::Size => "a bad character in a chunk size",
            Self::SizeLf => "a bare CR in a chunk size line",
            Self::Data | Self::DataCr | Self::DataLf => "no CRLF after the data of a chunk",
            Self::TrailerStart | Self::TrailerName => "a bad trailer name",
            Self::TrailerValue => "a control character in a trailer value",
            Self::TrailerLf | Self::EndLf | Self::Done => "a bare CR in the trailers",
            _ => "a malformed chunk extension",
        }
    }

    /// Whether the byte belongs to the trailer section, whose limits are those of a head.
    pub(super) const fn is_trailer(self) -> bool {
        matches!(
            self,
            Self::TrailerStart | Self::TrailerName | Self::TrailerValue | Self::TrailerLf | Self::EndLf
        )
    }
}

/// Behind a size or a complete extension: another one, or the end of the line.
fn end_of_item(byte: u8) -> Option<At> {
    match byte {
        b'\r' => Some(At::SizeLf),
        b';' => Some(At::ExtStart),
        b' ' | b'\t' => Some(At::ExtSpace),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [At; 21] = [
        At::SizeStart,
        At::Size,
        At::ExtSpace,
        At::ExtStart,
        At::ExtName,
        At::ExtNameSpace,
        At::ExtValueStart,
        At::ExtValue,
        At::ExtQuoted,
        At::ExtEscaped,
        At::ExtQuotedEnd,
        At::SizeLf,
        At::Data,
        At::DataCr,
        At::DataLf,
        At::TrailerStart,
        At::TrailerName,
        At::TrailerValue,
        At::TrailerLf,
        At::EndLf,
        At::Done,
    ];

    fn follow(from: At, bytes: &[u8]) -> Option<At> {
        bytes.iter().try_fold(from, |at, &byte| at.next(byte, false))
    }

    #[test]
    fn no_state_takes_nul_nor_a_line_end_it_does_not_expect() {
        for at in ALL {
            assert_eq!(at.next(0, false), None, "{at:?}");
            let lf = matches!(at, At::SizeLf | At::DataLf | At::TrailerLf | At::EndLf);
            assert_eq!(at.next(b'\n', false).is_some(), lf, "{at:?}");
            let after_cr = at.next(b'\r', false);
            let expects_lf = matches!(
                after_cr,
                None | Some(At::SizeLf | At::DataLf | At::TrailerLf | At::EndLf)
            );
            assert!(expects_lf, "{at:?}");
        }
    }

    #[test]
    fn data_and_the_end_are_left_by_the_decoder_alone() {
        for byte in 0..=u8::MAX {
            assert_eq!(At::Data.next(byte, false), None);
            assert_eq!(At::Done.next(byte, true), None);
        }
    }

    #[test]
    fn a_size_line_leads_to_data_or_trailers() {
        assert_eq!(follow(At::SizeStart, b"1f;a=\"b\\\"\";c\t=d ; e\r\n"), Some(At::Data));
        assert_eq!(At::SizeLf.next(b'\n', true), Some(At::TrailerStart));
    }

    #[test]
    fn trailers_lead_to_the_end() {
        assert_eq!(follow(At::TrailerStart, b"A: b\r\nC:\r\n\r\n"), Some(At::Done));
        assert_eq!(follow(At::TrailerStart, b"A : b"), None);
    }

    #[test]
    fn each_state_names_its_fault() {
        assert!(ALL.iter().all(|at| !at.fault().is_empty()));
    }
}
