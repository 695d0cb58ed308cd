//! The program with the models, asked for its list.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::process;

/// A model, as the program lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) name: String,
    /// At most so many forced switches; `None`: any number.
    pub(crate) bound: Option<usize>,
    pub(crate) variants: Vec<String>,
    pub(crate) property: String,
}

/// All models.
pub(crate) fn list(program: &Path) -> Result<Vec<Model>> {
    let listed = process::run(Command::new(program).arg("list"))?;
    String::from_utf8_lossy(&listed.stdout).lines().map(parse).collect()
}

fn parse(line: &str) -> Result<Model> {
    let mut fields = line.split('\t');
    let mut next = |what| fields.next().with_context(|| format!("no {what} in {line:?}"));
    let name = next("name")?.to_owned();
    let bound = match next("bound")? {
        "all" => None,
        number => Some(number.parse().with_context(|| format!("the bound in {line:?}"))?),
    };
    let variants = next("list of variants")?;
    let variants = variants.split(',').filter(|variant| !variant.is_empty());
    let variants = variants.map(str::to_owned).collect();
    Ok(Model { name, bound, variants, property: next("property")?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_model() {
        let model = parse("a::b\tall\tx.y,z\tit holds").expect("a model");
        assert_eq!((model.name.as_str(), model.bound), ("a::b", None));
        assert_eq!(model.variants, ["x.y", "z"]);
        assert_eq!(model.property, "it holds");
        let model = parse("a::c\t4\t\tit holds").expect("a model");
        assert_eq!((model.bound, model.variants.len()), (Some(4), 0));
        assert_eq!(
            parse("a\tfour\t\t").expect_err("no number").to_string(),
            "the bound in \"a\\tfour\\t\\t\""
        );
    }
}
