//! A stream in parts that can be read side by side.

use std::collections::HashMap;

use dativo_sdk::{Error, Partition, State};
use serde::{Deserialize, Serialize};

use super::stream::{Stream, exact_boundary};
use crate::files::{Entry, Feed, History, Place, Position};
use crate::flow::{Job, Opened, changed, in_order, unreadable};

/// Bytes looked at in one go to find where records end.
const LOOK: usize = 1 << 20;

/// Some files, or a part of one.
#[derive(Debug, Serialize, Deserialize)]
struct Part {
    stream: String,
    files: Vec<Piece>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Piece {
    path: String,
    modified: i64,
    size: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
    /// Bytes and lines before it.
    from: Option<(u64, u64)>,
    until: Option<u64>,
}

impl Piece {
    fn of(job: &Job) -> Self {
        let Entry {
            path,
            size,
            modified,
            tag,
        } = job.file.clone();
        let from = job.from.as_ref().map(|from| (from.offset, from.line));
        Self {
            path,
            modified,
            size,
            tag,
            from,
            until: job.until,
        }
    }
}

/// Parts of about `target` bytes or less, in the order of their rows.
pub(super) fn of_stream(
    stream: &Stream,
    jobs: Vec<Job>,
    mut history: Option<History>,
    count: usize,
    target: usize,
) -> Result<Vec<Partition>, Error> {
    let total: u64 = jobs.iter().map(|job| job.file.size).sum();
    // As many for each reader, so that all end at about the same time, unless they are too small to be worth it.
    let (count, most) = (count.max(1) as u64, (target as u64).max(LOOK as u64));
    let each = total.div_ceil(count.saturating_mul(most)).max(1);
    let target = total.div_ceil(count * each).clamp(LOOK as u64, most);
    let mut parts = Vec::new();
    let mut part = Part {
        stream: stream.source.id.name().to_owned(),
        files: Vec::new(),
    };
    let mut bytes = 0;
    for opened in in_order(jobs) {
        for (job, ends) in split(stream, opened?, target)? {
            bytes += job.bytes();
            part.files.push(Piece::of(&job));
            if let Some(history) = &mut history {
                match ends {
                    Some((offset, line)) => history.reached(&job.file, offset, line),
                    None => history.finished(&job.file),
                }
            }
            if bytes >= target {
                parts.push(partition(&mut part, stream, history.as_ref())?);
                bytes = 0;
            }
        }
    }
    if !part.files.is_empty() {
        parts.push(partition(&mut part, stream, history.as_ref())?);
    }
    Ok(parts)
}

fn partition(
    part: &mut Part,
    stream: &Stream,
    history: Option<&History>,
) -> Result<Partition, Error> {
    let token = serde_json::to_vec(part)
        .map_err(|error| Error::connector(format!("a part is not JSON: {error}")))?;
    part.files.clear();
    let state = history
        .map(|history| State::of(stream.source.id.clone(), history))
        .transpose()?;
    Ok(Partition { token, state })
}

/// A piece of a file, and where the next one starts: bytes and lines before it.
type Cut = (Job, Option<(u64, u64)>);

/// A file in pieces.
fn split(stream: &Stream, opened: Opened, target: u64) -> Result<Vec<Cut>, Error> {
    let Opened {
        mut job,
        mut feed,
        file,
        seekable,
    } = opened;
    // One that was changed since it was found is read from its beginning.
    job.from = job.from.filter(|from| from.is_in(&file));
    job.file = file.clone();
    let start = job.from.as_ref().map_or(0, |from| from.offset);
    if !seekable || file.size - start.min(file.size) <= target {
        return Ok(vec![(job, None)]);
    }
    let failed = |error| unreadable(&file.path, error);
    super::head::Head::read(&mut feed, &stream.config, &stream.rules).map_err(failed)?;
    if let Some(from) = &job.from {
        let bytes = job.place.read(&file, from.offset, None)?;
        feed = Feed::new(bytes, from.offset, from.line);
    }
    let mut pieces = Vec::new();
    let mut from = job.from.clone();
    let mut since = start;
    let mut spare = Vec::new();
    while let Some(block) = feed
        .next(LOOK, stream.record, spare, |text| {
            exact_boundary(&stream.rules, text)
        })
        .map_err(|error| unreadable(&file.path, error))?
    {
        let next = block.offset + block.bytes.len() as u64;
        let line = block.line + crate::files::lines(&block.bytes);
        if next - since >= target && !block.last {
            pieces.push((
                Job {
                    from: from.take(),
                    until: Some(next),
                    ..job.clone()
                },
                Some((next, line)),
            ));
            from = Some(Position::of(&file, next, line));
            since = next;
        }
        if block.last {
            break;
        }
        spare = block.bytes;
    }
    pieces.push((Job { from, ..job }, None));
    Ok(pieces)
}

/// What a part's token says is to be read.
pub(super) fn jobs(token: &[u8], streams: &[Stream]) -> Result<Vec<Job>, Error> {
    let part: Part = serde_json::from_slice(token)
        .map_err(|error| Error::config(format!("not a part of this reader: {error}")))?;
    let found = streams
        .iter()
        .enumerate()
        .find(|(_, stream)| stream.source.id.name() == part.stream);
    let (number, stream) = found.ok_or_else(|| {
        Error::config(format!(
            "a part of a stream that is not there: `{}`",
            part.stream
        ))
    })?;
    let known = stream.source.files.iter();
    let known: HashMap<&str, &(Place, Entry)> =
        known.map(|found| (found.1.path.as_str(), found)).collect();
    let jobs = part.files.into_iter().map(|piece| {
        let then = Entry {
            path: piece.path,
            size: piece.size,
            modified: piece.modified,
            tag: piece.tag,
        };
        let now = known.get(then.path.as_str());
        let (place, file) = now
            .filter(|(_, file)| *file == then)
            .ok_or_else(|| changed(&then))?;
        let mut job = stream.job(number, place, file)?;
        job.from = piece
            .from
            .map(|(offset, line)| Position::of(file, offset, line));
        job.until = piece.until;
        job.fixed = true;
        Ok(job)
    });
    jobs.collect()
}
