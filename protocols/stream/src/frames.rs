//! What the frames of one stream hold, and what becomes of it.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use dativo_codec::airbyte::ConfiguredStream;
use dativo_codec::announced;
use dativo_codec::canonical::{Canonical, CanonicalOptions};
use dativo_codec::frame::FrameHeader;

use crate::event::Event;
use crate::failure::Failure;
use crate::options::Options;
use crate::sequencer::Item;

/// What becomes of batches of one schema.
#[derive(Debug)]
pub(crate) struct FramePlan {
    pub(crate) canonical: Canonical,
    /// Whether rows get the moment at which they were read.
    pub(crate) stamped: bool,
    /// Columns of the primary key.
    pub(crate) keys: HashSet<String>,
}

/// A frame as the decoder threads get it.
#[derive(Debug)]
pub(crate) struct FrameOrder {
    pub(crate) header: Box<FrameHeader>,
    /// The line of its header.
    pub(crate) line: u64,
    /// For rows; rejects have columns of their own.
    pub(crate) plan: Option<Arc<FramePlan>>,
}

impl FrameOrder {
    /// A failure that says where.
    pub(crate) fn failed(&self, failure: Failure) -> Failure {
        let FrameHeader { kind, stream, .. } = &*self.header;
        let (line, kind) = (self.line, kind.name());
        let message = format!(
            "line {line}: {kind} of stream `{stream}`: {}",
            failure.message
        );
        Failure { message, ..failure }.of(stream).at(line)
    }
}

impl FramePlan {
    /// For batches of `schema`, which are of `stream`.
    pub(crate) fn new(
        schema: &Schema,
        stream: &ConfiguredStream,
        options: &Options,
    ) -> Result<Self, Failure> {
        let roots = || stream.primary_key.iter().filter_map(|path| path.first());
        let fields = options.fields.get(&stream.id).map(|fields| {
            let kept: HashSet<String> = fields.iter().chain(roots()).cloned().collect();
            kept
        });
        let chosen = CanonicalOptions {
            nested: options.nested,
            fields,
            types: options.types.get(&stream.id).cloned().unwrap_or_default(),
        };
        let canonical = Canonical::compile(schema, &chosen).map_err(Failure::uncanonical)?;
        Ok(Self {
            canonical,
            stamped: options.metadata.extracted_at,
            keys: roots().cloned().collect(),
        })
    }

    /// The columns that every batch has.
    pub(crate) fn schema(&self) -> SchemaRef {
        match self.stamped {
            true => announced(self.canonical.schema()),
            false => Arc::clone(self.canonical.schema()),
        }
    }

    /// What announces the stream.
    pub(crate) fn announcement(&self, stream: &ConfiguredStream) -> Result<Item, Failure> {
        let column = |name: &String| {
            let column = self.canonical.column_of(name).map(str::to_owned);
            column.ok_or_else(|| {
                Failure::protocol(format!(
                    "it has no column `{name}`, which the key of the stream is made of"
                ))
            })
        };
        let primary_key = stream
            .key_columns()
            .iter()
            .map(column)
            .collect::<Result<_, _>>()?;
        let cursor = match stream.cursor.as_slice() {
            [] => Vec::new(),
            path => {
                let path = path.join(".");
                vec![self.canonical.column_of(&path).unwrap_or(&path).to_owned()]
            }
        };
        let event = Event::Schema {
            stream: stream.id.clone(),
            schema: self.schema(),
            json_schema: stream.json_schema.clone(),
            primary_key,
            cursor,
        };
        Ok(Item::Schema {
            stream: stream.id.clone(),
            event,
        })
    }
}
