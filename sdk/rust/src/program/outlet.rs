//! A program's stdout: a thread of its own writes, so that the reader reads on meanwhile.

use std::io::{self, ErrorKind, IoSlice, Write};
use std::time::Duration;

use arrow_array::RecordBatch;
use crossbeam_channel::{Receiver, SendTimeoutError, Sender};
use dativo_codec::encode_json_lines;
use dativo_codec::frame::EncodedFrame;

use super::ending;
use crate::Error;

/// Why a program ends before it is done.
#[derive(Debug)]
pub(super) enum Halt {
    /// Nobody reads the output any more.
    Closed,
    /// Something failed.
    Failed(Error),
}

impl From<Error> for Halt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What is written.
#[derive(Debug)]
pub(super) enum Said {
    /// Messages, each with its line feed.
    Lines(Vec<u8>),
    /// A header line and the Arrow data behind it.
    Frame(EncodedFrame),
    /// A line for each row: its JSON between these two.
    Rows {
        before: Vec<u8>,
        batch: RecordBatch,
        after: &'static [u8],
    },
}

/// The sending end. At most one message waits, so that memory is bounded by three batches.
#[derive(Debug, Clone)]
pub(super) struct Outlet(pub Sender<Said>);

/// How often one that waits looks whether the program is to end.
const PATIENCE: Duration = Duration::from_millis(100);

impl Outlet {
    /// Hands it to the writing thread.
    ///
    /// # Errors
    /// [`Halt::Closed`] when that has ended: only it knows why; or when the program is to end.
    pub(super) fn say(&self, said: Said) -> Result<(), Halt> {
        let mut said = said;
        loop {
            said = match self.0.send_timeout(said, PATIENCE) {
                Ok(()) => return Ok(()),
                Err(SendTimeoutError::Timeout(said)) if !ending::is_asked() => said,
                Err(_) => return Err(Halt::Closed),
            }
        }
    }
}

/// Writes what comes, until nothing more does or it fails; gives the output back.
pub(super) fn write_all<W: Write>(receiver: &Receiver<Said>, mut out: W) -> (W, Result<(), Halt>) {
    let (mut text, mut lines) = (Vec::new(), Vec::new());
    for said in receiver {
        let written = match said {
            Said::Lines(lines) => out.write_all(&lines),
            Said::Frame(frame) => write_frame(&mut out, &frame),
            Said::Rows {
                before,
                batch,
                after,
            } => {
                text.clear();
                if let Err(error) = encode_json_lines(&batch, &mut text) {
                    return (out, Err(Error::connector(error.to_string()).into()));
                }
                lines.clear();
                wrap(&text, &before, after, &mut lines);
                out.write_all(&lines)
            }
        };
        if let Err(error) = written {
            return (out, Err(halt(error)));
        }
    }
    (out, Ok(()))
}

/// What a failure of the output means.
pub(super) fn halt(error: io::Error) -> Halt {
    match error.kind() {
        ErrorKind::BrokenPipe => Halt::Closed,
        _ => Halt::Failed(Error::connector(format!(
            "the output cannot be written: {error}"
        ))),
    }
}

/// Puts each line between `before` and `after`. Within a line's JSON there is no line feed.
fn wrap(text: &[u8], before: &[u8], after: &[u8], out: &mut Vec<u8>) {
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        out.extend_from_slice(before);
        out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        out.extend_from_slice(after);
        out.push(b'\n');
    }
}

/// Writes the parts of a frame where they lie: in one call, as long as the output takes them.
fn write_frame(out: &mut impl Write, frame: &EncodedFrame) -> io::Result<()> {
    // A call takes no more than so many.
    const PARTS: usize = 1024;
    for parts in frame.parts().chunks(PARTS) {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = slices.as_mut_slice();
        // Parts without bytes are not there to be written.
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match out.write_vectored(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, Int64Array};
    use dativo_codec::frame::{FrameKind, encode_frame};

    use super::*;

    /// Takes seven bytes at a time, and is interrupted in between.
    struct Slow(Vec<u8>, bool);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = !self.1;
            if self.1 {
                return Err(ErrorKind::Interrupted.into());
            }
            let taken = bytes.len().min(7);
            self.0.extend_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_frame_is_written_whole_whatever_the_output_takes_at_a_time() {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
        let frame = encode_frame(&"a".into(), &batch, FrameKind::Batch, None).unwrap();
        let whole: Vec<u8> = frame
            .parts()
            .iter()
            .flat_map(|part| part.to_vec())
            .collect();
        let mut slow = Slow(Vec::new(), false);
        write_frame(&mut slow, &frame).unwrap();
        assert_eq!(slow.0, whole);
    }

    #[test]
    fn each_row_is_a_message() {
        let mut out = Vec::new();
        wrap(b"{\"a\":1}\n{\"a\":2}\n", b"<", b">", &mut out);
        assert_eq!(out, b"<{\"a\":1}>\n<{\"a\":2}>\n");
    }
}
