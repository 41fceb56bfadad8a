//! HTTP/2 as far as a proxy must know it: where frames begin and end, and which streams they open and end.

/// What a client says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Length, type, flags and stream come before every frame's payload.
const HEADER: usize = 9;
/// The type of a frame with a request's content.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const END_STREAM: u8 = 1;

/// One frame; or bytes that are none: the preface, and everything of a connection that does not speak HTTP/2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What was sent, header included.
    pub bytes: Vec<u8>,
    /// The stream; 0 is the connection itself.
    pub stream: u32,
    /// Whether these are headers, the first of which opens a stream.
    pub headers: bool,
    /// Whether this is content.
    pub data: bool,
    /// Whether the sender says no more on this stream.
    pub end: bool,
}

/// One direction of a connection, cut into pieces. Headers that need more than one frame are none that gRPC sends.
#[derive(Debug)]
pub struct Pieces {
    buffer: Vec<u8>,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Preface,
    Frames,
    Opaque,
}

impl Pieces {
    /// Of what a client sends.
    pub fn of_client() -> Pieces {
        Pieces { buffer: Vec::new(), state: State::Preface }
    }

    /// Of what a server sends.
    pub fn of_server() -> Pieces {
        Pieces { buffer: Vec::new(), state: State::Frames }
    }

    /// Appends what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether this is no HTTP/2, such as TLS; then the other direction is none either.
    pub fn is_opaque(&self) -> bool {
        self.state == State::Opaque
    }

    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        (self.buffer.len() >= length).then(|| self.buffer.drain(..length).collect())
    }

    fn frame(&mut self) -> Option<Piece> {
        let [a, b, c, kind, flags, stream @ ..] = *self.buffer.first_chunk::<HEADER>()?;
        let length = u32::from_be_bytes([0, a, b, c]);
        let bytes = self.take(HEADER + usize::try_from(length).ok()?)?;
        // The highest bit is reserved.
        let stream = u32::from_be_bytes(stream) & 0x7fff_ffff;
        let end = kind == RST_STREAM || matches!(kind, DATA | HEADERS) && flags & END_STREAM != 0;
        Some(Piece { bytes, stream, headers: kind == HEADERS, data: kind == DATA, end })
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    /// The next piece that has been received completely.
    fn next(&mut self) -> Option<Piece> {
        let plain = |bytes| Piece { bytes, stream: 0, headers: false, data: false, end: false };
        if self.state == State::Preface {
            let common = self.buffer.len().min(PREFACE.len());
            if self.buffer[..common] != PREFACE[..common] {
                self.state = State::Opaque;
            } else {
                let preface = self.take(PREFACE.len())?;
                self.state = State::Frames;
                return Some(plain(preface));
            }
        }
        match self.state {
            State::Opaque if self.buffer.is_empty() => None,
            State::Opaque => Some(plain(std::mem::take(&mut self.buffer))),
            _ => self.frame(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
        let length = u8::try_from(payload.len()).unwrap();
        [&[0, 0, length, kind, flags, 0x80, 0, 0, stream], payload].concat()
    }

    /// A preface, settings, and one request on stream 5.
    fn request() -> Vec<Vec<u8>> {
        vec![PREFACE.to_vec(), frame(4, 1, 0, b""), frame(HEADERS, 4, 5, b"path"), frame(DATA, 1, 5, b"question")]
    }

    #[test]
    fn frames_are_found_however_they_arrive() {
        let bytes = request().concat();
        for size in 1..=bytes.len() {
            let mut pieces = Pieces::of_client();
            let mut found = Vec::new();
            for chunk in bytes.chunks(size) {
                pieces.push(chunk);
                found.extend(pieces.by_ref());
            }
            assert_eq!(found.iter().map(|piece| piece.bytes.clone()).collect::<Vec<_>>(), request());
            assert_eq!(found.iter().map(|piece| piece.headers).collect::<Vec<_>>(), [false, false, true, false]);
            assert_eq!(found.iter().map(|piece| piece.end).collect::<Vec<_>>(), [false, false, false, true]);
            assert_eq!(found.iter().map(|piece| piece.stream).collect::<Vec<_>>(), [0, 0, 5, 5]);
        }
    }

    #[test]
    fn what_is_no_http2_is_passed_as_it_comes() {
        let mut pieces = Pieces::of_client();
        for bytes in [b"\x16\x03\x01".as_slice(), b"PRI * HTTP/2.0"] {
            pieces.push(bytes);
            assert_eq!(pieces.next().unwrap().bytes, bytes);
            assert_eq!(pieces.next(), None);
        }
        assert!(pieces.is_opaque());
    }
}
