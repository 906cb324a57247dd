//! A stream of CSV files: its columns, and how each of its files has them.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use dativo_sdk::{Error, SelectedStream};

use super::block::{Layout, OnBad, Plan};
use super::column::{Column, Rules};
use super::config::{Config, StreamConfig};
use super::head::Head;
use super::index::{Index, Stop, Walk};
use super::infer::Sample;
use crate::config::{Origin, Source, encoding};
use crate::files::{Entry, Feed, Place, Places};
use crate::flow::{Job, Opened, in_order, unreadable};
use crate::types::Kind;

const FILE: &str = "_dativo_file";
const LINE: &str = "_dativo_line";
const SAMPLE_ROWS: usize = 10_000;
/// Bytes of text looked at in one go for a sample.
const SAMPLE_BLOCK: usize = 256 * 1024;
const LONGEST_RECORD: usize = 128 << 20;

/// A stream's files and settings.
pub(super) struct Stream {
    pub source: Source,
    pub config: StreamConfig,
    pub rules: Rules,
    pub record: usize,
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
        let rules = own.rules()?;
        Ok(Self {
            source,
            rules,
            config: own,
            record: config
                .max_record_bytes
                .unwrap_or(LONGEST_RECORD)
                .min(super::index::LONGEST),
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
                .unwrap_or(crate::config::Packed::Auto)
                .of(&file.path),
            encoding: encoding(self.config.encoding.as_deref())?,
            from: None,
            until: None,
            fixed: false,
        })
    }

    /// All columns, from the headers of the files and a sample of their records.
    ///
    /// # Errors
    /// When a file cannot be read, or there is none with a header.
    pub(super) fn discover(&self) -> Result<Vec<Column>, Error> {
        let mut names: Vec<String> = Vec::new();
        let mut sample = Sample::default();
        let infer = self.config.infer.unwrap_or(true);
        let mut left = if infer {
            self.config.sample_rows.unwrap_or(SAMPLE_ROWS)
        } else {
            0
        };
        let jobs = self.source.files.iter();
        let jobs = jobs.map(|(place, file)| self.job(0, place, file));
        for opened in in_order(jobs.collect::<Result<_, _>>()?) {
            let Opened { mut feed, file, .. } = opened?;
            let Some(head) = self.head(&mut feed, &file)? else {
                continue;
            };
            let slots: Vec<usize> = head
                .names
                .iter()
                .map(|name| {
                    names
                        .iter()
                        .position(|known| known == name)
                        .unwrap_or_else(|| {
                            names.push(name.clone());
                            names.len() - 1
                        })
                })
                .collect();
            self.sample(&mut feed, &file, &head, &slots, &mut sample, &mut left)?;
        }
        if names.is_empty() && self.config.columns.is_none() {
            let stream = self.source.id.name();
            return Err(Error::config(format!(
                "stream `{stream}`: its files are empty, so that nothing names its columns"
            ))
            .with_hint("`columns` names them")
            .with_fact("stream", stream));
        }
        if let (true, Some(given)) = (names.is_empty(), &self.config.columns) {
            names.clone_from(given);
        }
        let columns = names.into_iter().enumerate().map(|(slot, name)| {
            let given = self.config.given(&name)?;
            Ok(Column {
                kind: given.unwrap_or_else(|| sample.kind(slot)),
                given: given.is_some(),
                name,
            })
        });
        let columns = columns.collect::<Result<Vec<Column>, Error>>()?;
        self.check(&columns)?;
        Ok(columns)
    }

    fn check(&self, columns: &[Column]) -> Result<(), Error> {
        let own = [(Origin::File, FILE), (Origin::Line, LINE)];
        let taken = own.iter().find(|(origin, name)| {
            self.config.has(*origin) && columns.iter().any(|column| column.name == *name)
        });
        if let Some((_, name)) = taken {
            return Err(Error::config(format!(
                "`origin`: the files have a column `{name}` of their own"
            ))
            .with_fact("key", "origin"));
        }
        let named = self
            .config
            .types
            .iter()
            .flat_map(|types| types.keys())
            .chain(self.config.primary_key.iter().flatten());
        for name in named {
            if !columns.iter().any(|column| column.name == *name) {
                let known: Vec<String> = columns
                    .iter()
                    .take(20)
                    .map(|column| format!("`{}`", column.name))
                    .collect();
                return Err(Error::config(format!(
                    "stream `{}` has no column `{name}`",
                    self.source.id.name()
                ))
                .with_hint(format!("columns: {}", known.join(", "))));
            }
        }
        Ok(())
    }

    fn head(&self, feed: &mut Feed, file: &Entry) -> Result<Option<Head>, Error> {
        Head::read(feed, &self.config, &self.rules).map_err(|error| unreadable(&file.path, error))
    }

    fn sample(
        &self,
        feed: &mut Feed,
        file: &Entry,
        head: &Head,
        slots: &[usize],
        sample: &mut Sample,
        left: &mut usize,
    ) -> Result<(), Error> {
        while *left > 0 {
            let next = feed.next(SAMPLE_BLOCK, self.record, Vec::new(), |text| {
                exact_boundary(&self.rules, text)
            });
            let Some(block) = next.map_err(|error| unreadable(&file.path, error))? else {
                break;
            };
            let mut index = Index::default();
            let dialect = super::dialect::Dialect {
                trailing: self.rules.dialect.trailing || head.trailing,
                ..self.rules.dialect
            };
            Walk::new(&block.bytes, dialect, block.last).records(
                *left,
                Some(head.names.len()),
                &mut index,
            );
            sample.add(&block.bytes, &index, slots, &self.rules);
            *left -= index.rows.len();
            if block.last {
                break;
            }
        }
        Ok(())
    }

    /// How to read what is selected.
    ///
    /// # Errors
    /// When the files have no such columns.
    pub(super) fn plan(
        &self,
        selected: Option<&SelectedStream>,
    ) -> Result<(Plan, Vec<String>), Error> {
        let known = selected
            .and_then(|selected| selected.arrow_schema.as_ref())
            .map(|schema| self.columns_of(schema));
        let all = match known {
            Some(columns) => columns?,
            None => self.discover()?,
        };
        let names = all.iter().map(|column| column.name.clone()).collect();
        let wants = |name: &str| selected.is_none_or(|selected| selected.wants(name));
        let columns: Vec<Column> = all
            .into_iter()
            .filter(|column| wants(&column.name))
            .collect();
        let (file, line) = (
            self.config.has(Origin::File) && wants(FILE),
            self.config.has(Origin::Line) && wants(LINE),
        );
        let plan = Plan {
            stream: self.source.id.name().to_owned(),
            schema: Arc::new(schema(&columns, file, line)),
            columns,
            rules: self.rules.clone(),
            on_bad: self
                .config
                .on_bad_value
                .map_or(OnBad::Quarantine, Into::into),
            file,
            line,
        };
        Ok((plan, names))
    }

    /// The columns of a schema that was discovered.
    fn columns_of(&self, schema: &Schema) -> Result<Vec<Column>, Error> {
        let own = |field: &&Arc<Field>| {
            !(self.config.has(Origin::File) && field.name() == FILE
                || self.config.has(Origin::Line) && field.name() == LINE)
        };
        let columns = schema.fields().iter().filter(own).map(|field| {
            let given = self.config.given(field.name())?;
            let kind = given.or_else(|| Kind::from_arrow(field)).ok_or_else(|| {
                Error::config(format!(
                    "column `{}` is {}, which text is not read as",
                    field.name(),
                    field.data_type()
                ))
                .with_hint("discover the streams anew")
            })?;
            Ok(Column {
                name: field.name().clone(),
                kind,
                given: given.is_some(),
            })
        });
        columns.collect()
    }

    /// How a file has the columns of a plan, when its header has been passed over. `all` are the stream's columns.
    ///
    /// # Errors
    /// When it cannot be read, or has a column that the stream has not.
    pub(super) fn layout(
        &self,
        feed: &mut Feed,
        file: &Entry,
        plan: &Plan,
        all: &[String],
    ) -> Result<Layout, Error> {
        let Some(head) = self.head(feed, file)? else {
            return Ok(Layout {
                width: 1,
                slots: vec![None; plan.columns.len()],
                trailing: false,
            });
        };
        let unknown: Vec<String> = head
            .names
            .iter()
            .filter(|name| !all.contains(name))
            .map(|name| format!("`{name}`"))
            .collect();
        if !unknown.is_empty() {
            let stream = self.source.id.name();
            return Err(Error::contract(format!(
                "stream `{stream}`: `{}` has columns that it had not: {}",
                file.path,
                unknown.join(", ")
            ))
            .with_hint("discover the streams anew, or give these files a stream of their own")
            .with_fact("stream", stream)
            .with_fact("file", file.path.as_str()));
        }
        let slots = plan
            .columns
            .iter()
            .map(|column| head.names.iter().position(|name| *name == column.name));
        Ok(Layout {
            width: head.names.len(),
            slots: slots.collect(),
            trailing: head.trailing,
        })
    }
}

/// The Arrow schema of rows.
pub(super) fn schema(columns: &[Column], file: bool, line: bool) -> Schema {
    let mut fields: Vec<_> = columns
        .iter()
        .map(|column| column.kind.field(&column.name))
        .collect();
    if file {
        fields.push(Arc::new(Field::new(FILE, DataType::Utf8, false)));
    }
    if line {
        fields.push(Arc::new(Field::new(LINE, DataType::Int64, false)));
    }
    Schema::new(fields)
}

/// Where the last whole record of a text ends.
pub(super) fn exact_boundary(rules: &Rules, text: &[u8]) -> Option<usize> {
    let dialect = rules.dialect;
    if dialect
        .quote
        .is_none_or(|quote| memchr::memchr(quote, text).is_none())
    {
        return memchr::memrchr(dialect.end, text).map(|at| at + 1);
    }
    let mut index = Index::default();
    let mut walk = Walk::new(text, dialect, false);
    loop {
        index.clear();
        // Any width will do: only where records end matters.
        match walk.records(1024, Some(1), &mut index) {
            Stop::Full(_) => {}
            Stop::End => return Some(text.len()),
            Stop::Open(at) => return (at > 0).then_some(at),
        }
    }
}

/// The same by whether quotes come in pairs, which is wrong where one stands within a field without quotes.
pub(super) fn likely_boundary(rules: &Rules, text: &[u8]) -> Option<usize> {
    let end = rules.dialect.end;
    let Some(quote) = rules.dialect.quote else {
        return memchr::memrchr(end, text).map(|at| at + 1);
    };
    let mut within = memchr::memchr_iter(quote, text).count() % 2 == 1;
    for at in memchr::memrchr2_iter(quote, end, text) {
        if text[at] == quote {
            within = !within;
        } else if !within {
            // Pieces far smaller than the text would be copied again and again.
            return if at >= text.len() / 2 {
                Some(at + 1)
            } else {
                exact_boundary(rules, text)
            };
        }
    }
    exact_boundary(rules, text)
}
