//! RECORD lines as Singer taps write them.

use crate::batch::BatchBuilder;
use crate::json::{Broken, Cursor};
use crate::lines::{
    Envelope, Head, Named, Parts, RecordFormat, next_key, plain_text, string_value, values_before,
};
use crate::stamps::{Moment, Stamps};
use crate::stream_id::StreamId;

/// `{"type":"RECORD","stream":…,"record":{…}}`, with other keys around.
#[derive(Debug, Default)]
pub struct SingerRecords;

/// The keys that make a RECORD, in the order in which [`Envelope`] has them.
const KEYS: [&str; 3] = ["type", "stream", "record"];
/// The keys beside a record that say something about its row.
const STAMPS: [&str; 2] = ["time_extracted", "version"];

impl RecordFormat for SingerRecords {
    type Beside = ();

    fn head(line: &[u8]) -> Option<Head> {
        let mut at = Cursor::new(line, 0);
        let keys = ["type", "stream", STAMPS[0], STAMPS[1]];
        let [kind, stream, time_extracted, version] = values_before(&mut at, keys, "record")?;
        let is_record = string_value(&line[kind?])?.eq_ignore_ascii_case("RECORD");
        let name = plain_text(line, &stream?)?;
        is_record.then_some(Head {
            name,
            named: Named::Behind,
            stamped: time_extracted.is_some() || version.is_some(),
            record: at.pos,
        })
    }

    #[inline]
    fn rest(
        line: &[u8],
        end: usize,
        _: &StreamId,
        _: &Named,
        mut stamps: Option<&mut Stamps>,
    ) -> Result<(), Broken> {
        let mut at = Cursor::new(line, end);
        while let Some(key) = next_key(&mut at)? {
            if KEYS.iter().any(|name| name.as_bytes() == key) {
                return Err(Broken::BadName);
            }
            let start = at.pos;
            at.skip()?;
            if let Some(stamps) = &mut stamps {
                match key {
                    b"time_extracted" => stamps.extracted_at = Some(Moment::Text(start..at.pos)),
                    b"version" => stamps.version = Some(start..at.pos),
                    _ => {}
                }
            }
        }
        at.expect_end()
    }

    fn parts(line: &[u8]) -> Parts<()> {
        let (envelope, result) = Envelope::read(line, KEYS);
        let start = envelope.values[2].clone().map_or(0, |range| range.start);
        let record = match result {
            Err((broken, offset)) => Err(format!("{} at byte {offset}", broken.text())),
            Ok(()) => match missing_part(&envelope, line) {
                Some(reason) => Err(reason.to_owned()),
                None => Ok((start, ())),
            },
        };
        Parts {
            stream: envelope.string(line, 1).map(|name| name.as_str().into()),
            record,
        }
    }

    #[inline]
    fn finish_row((): &(), _: &[u8], _: &mut BatchBuilder) -> Result<(), String> {
        Ok(())
    }

    fn stamps(line: &[u8]) -> Stamps {
        let (envelope, _) = Envelope::read(line, STAMPS);
        let [time_extracted, version] = envelope.values;
        Stamps {
            extracted_at: time_extracted.map(Moment::Text),
            version,
        }
    }
}

/// What a line of whole JSON lacks to be a RECORD.
fn missing_part(envelope: &Envelope<3>, line: &[u8]) -> Option<&'static str> {
    if !envelope
        .string(line, 0)
        .is_some_and(|name| name.eq_ignore_ascii_case("RECORD"))
    {
        Some("`type` is not `RECORD`")
    } else if envelope.string(line, 1).is_none() {
        Some("`stream` is missing or is not a string")
    } else if !envelope
        .bytes(line, 2)
        .is_some_and(|record| record.starts_with(b"{"))
    {
        Some("`record` is missing or is not an object")
    } else {
        None
    }
}
