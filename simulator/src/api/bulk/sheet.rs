//! CSV, read and written as Bulk API 2.0 does: every cell written stands in quotes.

use csv::{QuoteStyle, ReaderBuilder, Terminator, WriterBuilder};

use crate::world::jobs::{Format, Sheet};

/// The column delimiters that a job can name.
pub(super) fn delimiter(name: &str) -> Option<u8> {
    Some(match name {
        "BACKQUOTE" => b'`',
        "CARET" => b'^',
        "COMMA" => b',',
        "PIPE" => b'|',
        "SEMICOLON" => b';',
        "TAB" => b'\t',
        _ => return None,
    })
}

/// Reads an upload. A row of another length than the header makes the whole of it unreadable.
pub(super) fn read(format: &Format, bytes: &[u8]) -> Result<Sheet, csv::Error> {
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(&format.delimiter).unwrap_or(b','))
        .from_reader(bytes);
    let texts = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect();
    let columns = texts(reader.headers()?);
    let rows = reader
        .records()
        .map(|record| record.map(|record| texts(&record)))
        .collect::<Result<_, _>>()?;
    Ok(Sheet { columns, rows })
}

/// Writes a table in the job's format.
pub(super) fn write<'r>(
    format: &Format,
    columns: &[&str],
    rows: impl Iterator<Item = Vec<&'r str>>,
) -> Result<String, csv::Error> {
    let terminator = match format.line_ending.as_str() {
        "CRLF" => Terminator::CRLF,
        _ => Terminator::Any(b'\n'),
    };
    let mut writer = WriterBuilder::new()
        .delimiter(delimiter(&format.delimiter).unwrap_or(b','))
        .terminator(terminator)
        .quote_style(QuoteStyle::Always)
        .from_writer(Vec::new());
    writer.write_record(columns)?;
    for row in rows {
        writer.write_record(row)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
