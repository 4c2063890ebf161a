//! The parts of one GGUF model that was split into several files (llama.cpp's `gguf-split`).

use std::path::{Path, PathBuf};

use super::error::{WeightsError, REMEDY};
use super::metadata::Metadata;

/// A file name `STEM-00001-of-00003.gguf`, read.
struct PartName<'a> {
    stem: &'a str,
    count: usize,
}

fn part_name(name: &str) -> Option<PartName<'_>> {
    let base = name.strip_suffix(".gguf")?;
    let (rest, count) = base.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let five_digits = |s: &str| {
        (s.len() == 5 && s.bytes().all(|b| b.is_ascii_digit()))
            .then(|| s.parse::<usize>().ok())
            .flatten()
    };
    let number = five_digits(number)?;
    let count = five_digits(count)?;
    (1..=count)
        .contains(&number)
        .then_some(PartName { stem, count })
}

/// Every part of the model that `file` is a part of, in order; `file` alone if it is not split.
pub(crate) fn parts(file: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let name = file.file_name().and_then(|n| n.to_str());
    let Some(PartName { stem, count }) = name.and_then(part_name) else {
        return Ok(vec![file.to_path_buf()]);
    };
    let parts: Vec<PathBuf> = (1..=count)
        .map(|i| file.with_file_name(format!("{stem}-{i:05}-of-{count:05}.gguf")))
        .collect();
    // All are looked for before the first is read: fetching is what takes time.
    let absent: Vec<&PathBuf> = parts.iter().filter(|p| !p.exists()).collect();
    match absent.first() {
        None => Ok(parts),
        Some(first) => Err(WeightsError::missing(
            first,
            format!(
                "{} of the {count} parts of this model {} missing, this one first; {REMEDY}",
                absent.len(),
                if absent.len() == 1 { "is" } else { "are" }
            ),
        )),
    }
}

/// Checks that a part's own numbering agrees with its name: `number` counts from 0.
pub(crate) fn check_part(
    file: &Path,
    number: usize,
    count: usize,
    metadata: &Metadata,
) -> Result<(), WeightsError> {
    let declared = metadata.usize("split.count").unwrap_or(1).max(1);
    if declared > 1 && count == 1 {
        return Err(WeightsError::unsupported(
            file,
            format!(
                "this is one part of {declared}; give all parts their names back (NAME-00001-of-{declared:05}.gguf, …) and put them in one folder"
            ),
        ));
    }
    if count > 1 && (declared != count || metadata.usize("split.no").is_some_and(|no| no != number))
    {
        return Err(WeightsError::corrupt(
            file,
            format!(
                "by its name it is part {} of {count}, by its header part {} of {declared}; {REMEDY}",
                number + 1,
                metadata.usize("split.no").map_or(0, |n| n.saturating_add(1)),
            ),
        ));
    }
    Ok(())
}

/// Checks the number of tensors that the first part promises for all together.
pub(crate) fn check_total(
    first: &Path,
    metadata: &Metadata,
    found: usize,
) -> Result<(), WeightsError> {
    match metadata.usize("split.tensors.count") {
        Some(promised) if promised != found => Err(WeightsError::corrupt(
            first,
            format!("the model should have {promised} tensors, its parts hold {found}; {REMEDY}"),
        )),
        _ => Ok(()),
    }
}
