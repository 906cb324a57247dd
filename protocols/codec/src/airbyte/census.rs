//! How many records of which stream went by: sources say in their states how many they think it was.

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::record::AirbyteRecords;
use crate::lines::{Named, Opening, RecordFormat};
use crate::stream_id::StreamId;

/// Records of a stream, or of all, since its last state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Those that name the stream.
    pub records: u64,
    /// Broken ones that name none: they may have been the stream's.
    pub unnamed: u64,
}

impl Count {
    /// Whether a source that speaks of so many is right.
    pub fn agrees(&self, stated: f64) -> bool {
        let (least, most) = (self.records as f64, (self.records + self.unnamed) as f64);
        (least..=most).contains(&stated) && stated.fract() == 0.0
    }
}

#[derive(Debug)]
struct Stream {
    id: StreamId,
    records: u64,
    /// All unnamed ones so far, when the stream had its last state.
    unnamed: u64,
    /// Whether what came last was a RECORD.
    in_lines: bool,
    /// Whether a frame came.
    in_frames: bool,
}

/// Counts the records of a catalog's streams.
#[derive(Debug)]
pub struct Census {
    streams: Vec<Stream>,
    places: HashMap<StreamId, usize, FixedState>,
    /// Places of names that only one stream has.
    by_name: HashMap<Box<[u8]>, Option<usize>, FixedState>,
    last: (Vec<u8>, usize),
    opening: Opening,
    unnamed: u64,
    unnamed_at_global: u64,
}

impl Census {
    /// For the streams of a catalog.
    pub fn new(streams: impl IntoIterator<Item = StreamId>) -> Self {
        let mut census = Self {
            streams: Vec::new(),
            places: HashMap::default(),
            by_name: HashMap::default(),
            last: (Vec::new(), 0),
            opening: Opening::default(),
            unnamed: 0,
            unnamed_at_global: 0,
        };
        for id in streams {
            let place = census.streams.len();
            let name = id.name().as_bytes().into();
            let unique = !census.by_name.contains_key(&name);
            census.by_name.insert(name, unique.then_some(place));
            census.places.insert(id.clone(), place);
            census.streams.push(Stream {
                id,
                records: 0,
                unnamed: 0,
                in_lines: false,
                in_frames: false,
            });
        }
        census
    }

    /// Counts a RECORD line. Gives the stream's place in the catalog when this is its first one, or the first behind a frame.
    #[inline]
    pub fn record(&mut self, line: &[u8]) -> Option<usize> {
        let place = match self.opening.name(line) {
            Some((name, _)) if self.last.0 == name && !name.is_empty() => Some(self.last.1),
            _ => self.find(line),
        };
        let Some(place) = place else {
            self.unnamed += 1;
            return None;
        };
        let stream = &mut self.streams[place];
        stream.records += 1;
        (!std::mem::replace(&mut stream.in_lines, true)).then_some(place)
    }

    /// Counts the rows of a frame. Gives the stream's place in the catalog; `None` when it is not there.
    pub fn frame(&mut self, stream: &StreamId, rows: u64) -> Option<usize> {
        let place = *self.places.get(stream)?;
        let stream = &mut self.streams[place];
        stream.records += rows;
        stream.in_lines = false;
        stream.in_frames = true;
        Some(place)
    }

    #[inline(never)]
    fn find(&mut self, line: &[u8]) -> Option<usize> {
        let Some(head) = AirbyteRecords::head(line) else {
            return self
                .places
                .get(&AirbyteRecords::parts(line).stream?)
                .copied();
        };
        let name = &line[head.name.clone()];
        let place = match (&head.named, self.by_name.get(name)?) {
            (Named::Behind, Some(place)) => *place,
            // Only what stands behind the record tells; the next line may be of another one.
            (Named::Behind, None) => {
                return self
                    .places
                    .get(&AirbyteRecords::parts(line).stream?)
                    .copied();
            }
            (Named::Before(namespace), _) => {
                let id = StreamId::new(std::str::from_utf8(name).ok()?, namespace.as_deref());
                *self.places.get(&id)?
            }
        };
        self.opening.learn(line, &head);
        self.last.0.clear();
        self.last.0.extend_from_slice(name);
        self.last.1 = place;
        Some(place)
    }

    /// Ends the count of a stream at its state. `None` when it is not in the catalog.
    pub fn state_of(&mut self, stream: &StreamId) -> Option<Count> {
        let stream = &mut self.streams[*self.places.get(stream)?];
        let unnamed = std::mem::replace(&mut stream.unnamed, self.unnamed);
        Some(Count {
            records: std::mem::take(&mut stream.records),
            unnamed: self.unnamed - unnamed,
        })
    }

    /// Ends the count of all streams at a state that covers all.
    pub fn state_of_all(&mut self) -> Count {
        let mut records = 0;
        for stream in &mut self.streams {
            records += std::mem::take(&mut stream.records);
            stream.unnamed = self.unnamed;
        }
        let unnamed = std::mem::replace(&mut self.unnamed_at_global, self.unnamed);
        Count {
            records,
            unnamed: self.unnamed - unnamed,
        }
    }

    /// Whether records of the stream came after its last state.
    pub fn is_open(&self, stream: &StreamId) -> bool {
        self.places
            .get(stream)
            .is_some_and(|place| self.streams[*place].records > 0)
    }

    /// Places of streams of which neither a record nor a frame came.
    pub fn unseen(&self) -> impl Iterator<Item = usize> {
        let places = self.streams.iter().enumerate();
        places
            .filter(|(_, stream)| !stream.in_lines && !stream.in_frames)
            .map(|(place, _)| place)
    }

    /// The stream at a place.
    pub fn stream(&self, place: usize) -> &StreamId {
        &self.streams[place].id
    }
}
