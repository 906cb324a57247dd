//! A stream of files of JSON lines: its columns.

use std::collections::HashMap;
use std::sync::Arc;

use dativo_codec::{Extra, Nested, OnBadValue, PlanOptions, StreamPlan};
use dativo_sdk::{Error, SelectedStream};
use serde_json::{Value, json};

use super::config::{self, Config, StreamConfig};
use super::infer::Shape;
use crate::config::{BadValue, Packed, Source, encoding};
use crate::files::{Entry, Place, Places};
use crate::flow::{Job, Opened, in_order, unreadable};

const SAMPLE_ROWS: usize = 10_000;
const SAMPLE_BLOCK: usize = 256 * 1024;
pub(super) const LONGEST_RECORD: usize = 128 << 20;

/// A stream's files and settings.
pub(super) struct Stream {
    pub source: Source,
    pub config: StreamConfig,
    record: usize,
}

impl Stream {
    /// Finds the files of a stream.
    ///
    /// # Errors
    /// When a setting is wrong, or there are no files.
    pub(super) fn find(
        name: &str,
        config: &Config,
        own: StreamConfig,
        places: &mut Places,
    ) -> Result<Self, Error> {
        let source = Source::find(name, own.path.as_ref(), places)?;
        let own = config.completed(own);
        Ok(Self {
            source,
            config: own,
            record: config.max_record_bytes.unwrap_or(LONGEST_RECORD),
        })
    }

    /// How to read a file from its beginning.
    pub(super) fn job(&self, number: usize, place: &Place, file: &Entry) -> Result<Job, Error> {
        Ok(Job {
            stream: number,
            file: file.clone(),
            place: place.clone(),
            compression: self
                .config
                .compression
                .unwrap_or(Packed::Auto)
                .of(&file.path),
            encoding: encoding(self.config.encoding.as_deref())?,
            from: None,
            until: None,
            fixed: false,
        })
    }

    /// The columns, from a sample of the records.
    ///
    /// # Errors
    /// When a file cannot be read, or none has a record.
    pub(super) fn discover(&self) -> Result<StreamPlan, Error> {
        let mut shape = Shape::default();
        let mut left = self.config.sample_rows.unwrap_or(SAMPLE_ROWS);
        let jobs = self.source.files.iter();
        let jobs = jobs.map(|(place, file)| self.job(0, place, file));
        let mut files = in_order(jobs.collect::<Result<_, _>>()?);
        while left > 0
            && let Some(opened) = files.next()
        {
            self.sample(opened?, &mut shape, &mut left)?;
        }
        let schema = json!({"type": "object", "properties": shape.properties()});
        let key = self.config.primary_key.clone().unwrap_or_default();
        let types = self.config.types.iter().flatten();
        let options = PlanOptions {
            nested: if self.config.nested == Some(config::Nested::Struct) {
                Nested::Struct
            } else {
                Nested::Json
            },
            nullable_keys: true,
            types: types
                .map(|(name, given)| (name.clone(), given.clone()))
                .collect::<HashMap<_, _>>(),
            ..PlanOptions::default()
        };
        let name = self.source.id.name();
        let plan = StreamPlan::compile(schema.to_string().as_bytes(), &key, &options)
            .map_err(|error| Error::config(format!("stream `{name}`: {error}")))?;
        if plan.arrow_schema().fields().is_empty() {
            return Err(Error::config(format!(
                "stream `{name}`: its files have no records, so that nothing names its columns"
            ))
            .with_fact("stream", name));
        }
        Ok(plan)
    }

    fn sample(&self, opened: Opened, shape: &mut Shape, left: &mut usize) -> Result<(), Error> {
        let Opened { mut feed, file, .. } = opened;
        while *left > 0 {
            let boundary = |text: &[u8]| memchr::memrchr(b'\n', text).map(|at| at + 1);
            let next = feed.next(SAMPLE_BLOCK, self.record, Vec::new(), boundary);
            let Some(block) = next.map_err(|error| unreadable(&file.path, error))? else {
                break;
            };
            for line in block
                .bytes
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.trim_ascii().is_empty())
            {
                if *left == 0 {
                    break;
                }
                // What does not parse is rejected when it is read.
                if let Ok(record @ Value::Object(_)) = serde_json::from_slice(line) {
                    shape.add(&record);
                    *left -= 1;
                }
            }
            if block.last {
                break;
            }
        }
        Ok(())
    }

    /// How to read what is selected, and which of the columns are wanted.
    ///
    /// # Errors
    /// When the columns cannot be read from JSON.
    pub(super) fn plan(
        &self,
        selected: Option<&SelectedStream>,
    ) -> Result<(StreamPlan, Option<Vec<usize>>), Error> {
        let known = selected.and_then(|selected| selected.arrow_schema.as_ref());
        let schema = match known {
            Some(schema) => Arc::clone(schema),
            None => Arc::clone(self.discover()?.arrow_schema()),
        };
        let fields = selected
            .filter(|selected| selected.fields.is_some())
            .map(|selected| {
                let names = schema.fields().iter().enumerate();
                names
                    .filter(|(_, field)| selected.wants(field.name()))
                    .map(|(at, _)| at)
                    .collect()
            });
        let on_bad_value = match self.config.on_bad_value {
            None | Some(BadValue::Quarantine) => OnBadValue::Quarantine,
            Some(BadValue::Null) => OnBadValue::Null,
            Some(BadValue::Fail) => OnBadValue::Fail,
        };
        let extra = if self.config.extra == Some(config::Extra::Drop) {
            Extra::Drop
        } else {
            Extra::Keep
        };
        let plan = StreamPlan::from_arrow(schema, false).map_err(|error| {
            Error::config(format!("stream `{}`: {error}", self.source.id.name()))
        })?;
        // Where text is asked for, a number is its digits.
        let given = self.config.types.iter().flatten();
        let texts = given.filter(|(_, kind)| kind.as_str() == "string");
        let plan = plan
            .with_text_from_scalars(texts.map(|(name, _)| name.as_str()))
            .with_on_bad_value(on_bad_value)
            .with_extra(extra);
        Ok((plan, fields))
    }
}
