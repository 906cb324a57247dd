//! What becomes of which type.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};

use super::CanonicalError;
use super::decimals::Rescale;
use crate::plan::{ColumnType, Nested, json_metadata};

/// What is to be done with an array.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    /// Nothing.
    Keep,
    /// Say the values of a dictionary, or of runs, for each row; then the rest.
    Flat(Box<Step>),
    /// Each value is null.
    Nulls,
    /// Integers of any width to int64.
    Integer,
    /// uint64 to decimal128(20, 0).
    Unsigned,
    /// Floats of any width to float64.
    Float,
    /// Decimals of any width, or integers.
    Decimal(Rescale),
    /// Texts of any kind to utf8.
    Text,
    /// The same, and what it says must be JSON.
    JsonText,
    /// Bytes of any kind to binary.
    Binary,
    /// Milliseconds to date32.
    Date,
    /// Any time of day to microseconds.
    Clock,
    /// Any timestamp to microseconds, with this zone.
    Moment(Option<Arc<str>>),
    /// Any duration to int64 microseconds.
    Duration,
    /// Any value as JSON text.
    ToJson,
    /// Any value as its text.
    ToText,
    Struct(Vec<(FieldRef, Step)>),
    /// Lists of any kind, maps too.
    List(FieldRef, Box<Step>),
}

/// What is done to a field's values, and the field that comes of it; by the name of the field where that cannot be.
pub(super) fn column(
    field: &Field,
    nested: Nested,
    given: Option<&str>,
) -> Result<(FieldRef, Step), CanonicalError> {
    let (own, step) = of(field, nested).map_err(|data_type| CanonicalError::Lossy {
        column: field.name().clone(),
        reason: format!("the type {data_type} has no form without loss here"),
        hint: Some("leave the column out with `fields`, or read it as another type".to_owned()),
    })?;
    let Some(given) = given else {
        return Ok((own, step));
    };
    let wanted = ColumnType::from_name(given);
    let chosen = wanted.and_then(|wanted| chosen(field, &own, &step, wanted));
    chosen.ok_or_else(|| CanonicalError::Impossible {
        column: field.name().clone(),
        from: field.data_type().to_string(),
        given: given.to_owned(),
    })
}

/// The type that a job names for a column.
fn chosen(
    field: &Field,
    own: &FieldRef,
    step: &Step,
    wanted: ColumnType,
) -> Option<(FieldRef, Step)> {
    let target = wanted.arrow_field(field.name(), field.is_nullable());
    if own.data_type() == target.data_type() && own.metadata() == target.metadata() {
        return Some((Arc::clone(own), step.clone()));
    }
    let step = match (&wanted, values_of(field.data_type())) {
        (ColumnType::Json, _) => Step::ToJson,
        (ColumnType::Utf8, _) => Step::ToText,
        (ColumnType::Timestamp(zone), DataType::Timestamp(..)) => Step::Moment(zone.clone()),
        (ColumnType::Decimal(precision, scale), from) => {
            Step::Decimal(Rescale::to(*precision, *scale, from)?)
        }
        _ => return None,
    };
    // Texts and JSON are written from values that are said once as well; other steps want each.
    let is_flat = values_of(field.data_type()) == field.data_type()
        || matches!(step, Step::ToJson | Step::ToText);
    let step = if is_flat {
        step
    } else {
        Step::Flat(Box::new(step))
    };
    Some((target, step))
}

fn values_of(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values_of(values),
        DataType::RunEndEncoded(_, values) => values_of(values.data_type()),
        other => other,
    }
}

/// The type without canonical form is the error.
fn of(field: &Field, nested: Nested) -> Result<(FieldRef, Step), DataType> {
    let is_json = field
        .metadata()
        .get("ARROW:extension:name")
        .is_some_and(|name| name == "arrow.json");
    let made = |data_type: DataType, step: Step| {
        Ok((
            Arc::new(Field::new(field.name(), data_type, field.is_nullable())),
            step,
        ))
    };
    let json = |step: Step| {
        let nullable = field.is_nullable() || step == Step::Nulls;
        let field = Field::new(field.name(), DataType::Utf8, nullable);
        Ok((Arc::new(field.with_metadata(json_metadata())), step))
    };
    let same = field.data_type().clone();
    match field.data_type() {
        DataType::Null => json(Step::Nulls),
        DataType::Boolean | DataType::Int64 | DataType::Float64 | DataType::Date32 => {
            made(same, Step::Keep)
        }
        DataType::Int8 | DataType::Int16 | DataType::Int32 => made(DataType::Int64, Step::Integer),
        DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => {
            made(DataType::Int64, Step::Integer)
        }
        DataType::UInt64 => made(DataType::Decimal128(20, 0), Step::Unsigned),
        DataType::Float16 | DataType::Float32 => made(DataType::Float64, Step::Float),
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => {
            match Rescale::canonical(*precision, *scale, field.data_type()) {
                Some(rescale) if rescale.data_type() == same => made(same, Step::Keep),
                Some(rescale) => made(rescale.data_type(), Step::Decimal(rescale)),
                None => json(Step::ToJson),
            }
        }
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View if is_json => {
            json(Step::JsonText)
        }
        DataType::Utf8 | DataType::Binary => made(same, Step::Keep),
        DataType::LargeUtf8 | DataType::Utf8View => made(DataType::Utf8, Step::Text),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            made(DataType::Binary, Step::Binary)
        }
        DataType::Date64 => made(DataType::Date32, Step::Date),
        DataType::Time64(TimeUnit::Microsecond) => made(same, Step::Keep),
        DataType::Time32(_) | DataType::Time64(_) => {
            made(DataType::Time64(TimeUnit::Microsecond), Step::Clock)
        }
        DataType::Timestamp(unit, zone) => {
            let zone: Option<Arc<str>> = zone.as_ref().map(|_| "UTC".into());
            let target = DataType::Timestamp(TimeUnit::Microsecond, zone.clone());
            match target == same && *unit == TimeUnit::Microsecond {
                true => made(same, Step::Keep),
                false => made(target, Step::Moment(zone)),
            }
        }
        DataType::Duration(_) => made(DataType::Int64, Step::Duration),
        DataType::Interval(
            IntervalUnit::YearMonth | IntervalUnit::DayTime | IntervalUnit::MonthDayNano,
        ) => made(DataType::Utf8, Step::ToText),
        DataType::Dictionary(_, values) => flat(field, values, nested),
        DataType::RunEndEncoded(_, values) => flat(field, values.data_type(), nested),
        DataType::Struct(fields) => {
            let inner = fields.iter().map(|inner| of(inner, nested));
            let inner = inner.collect::<Result<Vec<_>, _>>()?;
            if nested == Nested::Json || inner.is_empty() {
                return json(Step::ToJson);
            }
            let kept = inner.iter().all(|(_, step)| *step == Step::Keep)
                && inner.iter().map(|(field, _)| field).eq(fields.iter());
            let target = DataType::Struct(inner.iter().map(|(field, _)| field.clone()).collect());
            made(
                target,
                if kept {
                    Step::Keep
                } else {
                    Step::Struct(inner)
                },
            )
        }
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _)
        | DataType::Map(item, _) => {
            let (inner, step) = of(item, nested)?;
            if nested == Nested::Json {
                return json(Step::ToJson);
            }
            let kept = step == Step::Keep && inner == *item && matches!(same, DataType::List(_));
            let target = DataType::List(Arc::clone(&inner));
            let step = match kept {
                true => Step::Keep,
                false => Step::List(inner, Box::new(step)),
            };
            made(target, step)
        }
        _ => Err(same),
    }
}

fn flat(field: &Field, values: &DataType, nested: Nested) -> Result<(FieldRef, Step), DataType> {
    let (field, step) = of(&field.clone().with_data_type(values.clone()), nested)?;
    let step = match step {
        // Written from the values as they are.
        Step::ToJson | Step::ToText => step,
        step => Step::Flat(Box::new(step)),
    };
    Ok((field, step))
}
