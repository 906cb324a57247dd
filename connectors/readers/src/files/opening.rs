//! The bytes of a file as UTF-8: unpacked and converted.

use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult, UTF_8};

/// How a file is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, possibly of several members.
    Gzip,
    /// Zstandard, possibly of several frames.
    Zstd,
}

impl Compression {
    /// What a file's name says.
    pub fn of_name(path: &str) -> Self {
        match path
            .rsplit_once('.')
            .map(|(_, extension)| extension.to_ascii_lowercase())
            .as_deref()
        {
            Some("gz" | "gzip") => Self::Gzip,
            Some("zst" | "zstd") => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// How a file's characters are bytes.
#[derive(Debug, Clone, Copy)]
pub enum Encoding {
    /// UTF-8; a byte order mark may say UTF-16.
    Utf8,
    /// ISO 8859-1 itself, which the web takes for another one.
    Latin1,
    /// One of the others.
    Other(&'static encoding_rs::Encoding),
}

impl Encoding {
    /// The encoding of this name; `None` where it is not known.
    pub fn of_name(name: &str) -> Option<Self> {
        let plain: String = name
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect::<String>()
            .to_ascii_lowercase();
        match plain.as_str() {
            "utf8" | "ascii" | "usascii" | "utf8sig" => return Some(Self::Utf8),
            "latin1" | "iso88591" | "l1" => return Some(Self::Latin1),
            "utf16" | "utf16le" => return Some(Self::Other(encoding_rs::UTF_16LE)),
            "utf16be" => return Some(Self::Other(encoding_rs::UTF_16BE)),
            _ => {}
        }
        let label = plain
            .strip_prefix("cp")
            .filter(|page| page.starts_with("125"))
            .map(|page| format!("windows-{page}"));
        let found = encoding_rs::Encoding::for_label(label.as_deref().unwrap_or(name).as_bytes())?;
        Some(if found == UTF_8 {
            Self::Utf8
        } else {
            Self::Other(found)
        })
    }
}

/// The text of a file as UTF-8, without its byte order mark, and whether its bytes are the file's own, so that a position in the
/// one is a position in the other: then also how many stood before the text.
///
/// # Errors
/// When its first bytes cannot be read.
pub fn open(
    bytes: Box<dyn Read + Send>,
    compression: Compression,
    encoding: Encoding,
) -> io::Result<(Box<dyn Read + Send>, Option<u64>)> {
    let mut unpacked: Box<dyn Read + Send> = match compression {
        Compression::None => bytes,
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(bytes)?),
    };
    let mut mark = Vec::new();
    unpacked.by_ref().take(3).read_to_end(&mut mark)?;
    let sniffed = encoding_rs::Encoding::for_bom(&mark);
    let (actual, skip) = match (sniffed, encoding) {
        (Some((found, len)), Encoding::Utf8) if found == UTF_8 => (Encoding::Utf8, len),
        (Some((found, len)), Encoding::Utf8) => (Encoding::Other(found), len),
        // Both byte orders go by the same name, where there is a mark.
        (Some((found, len)), Encoding::Other(wanted))
            if found == wanted || is_utf16(found) && is_utf16(wanted) =>
        {
            (Encoding::Other(found), len)
        }
        _ => (encoding, 0),
    };
    let whole: Box<dyn Read + Send> =
        Box::new(io::Cursor::new(mark[skip..].to_vec()).chain(unpacked));
    Ok(match actual {
        Encoding::Utf8 => (
            whole,
            (compression == Compression::None).then_some(skip as u64),
        ),
        Encoding::Latin1 => (
            Box::new(Latin1 {
                bytes: whole,
                buffer: vec![0; PIECE],
            }),
            None,
        ),
        Encoding::Other(encoding) => (Box::new(Transcoded::new(whole, encoding)), None),
    })
}

fn is_utf16(encoding: &'static encoding_rs::Encoding) -> bool {
    encoding == encoding_rs::UTF_16LE || encoding == encoding_rs::UTF_16BE
}

/// Bytes converted at a time.
const PIECE: usize = 64 * 1024;

struct Latin1 {
    bytes: Box<dyn Read + Send>,
    buffer: Vec<u8>,
}

impl Read for Latin1 {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        // Each byte becomes at most two.
        let len = (into.len() / 2).min(PIECE);
        if len == 0 {
            return Err(io::Error::other("no room for a character"));
        }
        let read = self.bytes.read(&mut self.buffer[..len])?;
        Ok(encoding_rs::mem::convert_latin1_to_utf8(
            &self.buffer[..read],
            into,
        ))
    }
}

struct Transcoded {
    bytes: Box<dyn Read + Send>,
    decoder: Decoder,
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    ended: bool,
    done: bool,
}

impl Transcoded {
    fn new(bytes: Box<dyn Read + Send>, encoding: &'static encoding_rs::Encoding) -> Self {
        Self {
            bytes,
            decoder: encoding.new_decoder_without_bom_handling(),
            buffer: vec![0; PIECE],
            from: 0,
            to: 0,
            ended: false,
            done: false,
        }
    }
}

impl Read for Transcoded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.done {
                return Ok(0);
            }
            if self.from == self.to && !self.ended {
                self.from = 0;
                self.to = self.bytes.read(&mut self.buffer)?;
                self.ended = self.to == 0;
            }
            let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(
                &self.buffer[self.from..self.to],
                into,
                self.ended,
            );
            self.from += read;
            match result {
                DecoderResult::Malformed(..) => {
                    let name = self.decoder.encoding().name();
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("the text is not {name}"),
                    ));
                }
                DecoderResult::InputEmpty if self.ended => self.done = true,
                DecoderResult::OutputFull if written == 0 => {
                    return Err(io::Error::other("no room for a character"));
                }
                _ => {}
            }
            if written > 0 {
                return Ok(written);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn text(
        bytes: Vec<u8>,
        compression: Compression,
        encoding: &str,
    ) -> io::Result<(String, Option<u64>)> {
        let (mut text, before) = open(
            Box::new(io::Cursor::new(bytes)),
            compression,
            Encoding::of_name(encoding).unwrap(),
        )?;
        let mut all = Vec::new();
        let mut piece = [0; 7];
        loop {
            match text.read(&mut piece)? {
                0 => return Ok((String::from_utf8(all).unwrap(), before)),
                read => all.extend_from_slice(&piece[..read]),
            }
        }
    }

    fn utf16(text: &str, mark: bool) -> Vec<u8> {
        let mark = mark.then_some(0xFEFF);
        mark.into_iter()
            .chain(text.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect()
    }

    #[test]
    fn a_byte_order_mark_is_no_text() {
        assert_eq!(
            text(b"\xEF\xBB\xBFa".to_vec(), Compression::None, "utf-8").unwrap(),
            ("a".to_owned(), Some(3))
        );
        assert_eq!(
            text(b"a".to_vec(), Compression::None, "utf-8").unwrap(),
            ("a".to_owned(), Some(0))
        );
        assert_eq!(
            text(utf16("aé𝄞東", true), Compression::None, "utf-8").unwrap(),
            ("aé𝄞東".to_owned(), None)
        );
        assert_eq!(
            text(vec![0xFE, 0xFF, 0, b'a'], Compression::None, "utf-16")
                .unwrap()
                .0,
            "a"
        );
    }

    #[test]
    fn other_encodings_become_utf8() {
        assert_eq!(
            text(utf16("aé", false), Compression::None, "utf-16le")
                .unwrap()
                .0,
            "aé"
        );
        assert_eq!(
            text(b"\xE9\x80".to_vec(), Compression::None, "latin-1")
                .unwrap()
                .0,
            "é\u{80}"
        );
        assert_eq!(
            text(b"\xE9\x80".to_vec(), Compression::None, "cp1252")
                .unwrap()
                .0,
            "é€"
        );
        assert_eq!(
            text(b"\x82\xA0".to_vec(), Compression::None, "shift_jis")
                .unwrap()
                .0,
            "あ"
        );
        assert!(text(b"\x82".to_vec(), Compression::None, "shift_jis").is_err());
        // As Python writes it.
        assert!(Encoding::of_name("utf-16-be").is_some());
        assert!(Encoding::of_name("klingon").is_none());
    }

    #[test]
    fn packed_files_are_unpacked_and_cut_ones_refused() {
        let long: String = (0..10_000).map(|n| format!("{n},")).collect();
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(long.as_bytes()).unwrap();
        let packed = packer.finish().unwrap();
        let twice = [packed.clone(), packed.clone()].concat();
        assert_eq!(
            text(twice, Compression::Gzip, "utf-8").unwrap().0,
            format!("{long}{long}")
        );
        assert!(
            text(
                packed[..packed.len() / 2].to_vec(),
                Compression::Gzip,
                "utf-8"
            )
            .is_err()
        );
        let packed = zstd::encode_all(long.as_bytes(), 1).unwrap();
        assert_eq!(
            text(packed.clone(), Compression::Zstd, "utf-8").unwrap(),
            (long, None)
        );
        assert!(
            text(
                packed[..packed.len() / 2].to_vec(),
                Compression::Zstd,
                "utf-8"
            )
            .is_err()
        );
        assert_eq!(Compression::of_name("a/b.CSV.GZ"), Compression::Gzip);
    }
}
