//! The program with the models: built under loom, and asked for its list.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{process, workspace};

/// A model, as the program lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) name: String,
    /// At most so many forced switches; `None`: any number.
    pub(crate) bound: Option<usize>,
    pub(crate) variants: Vec<String>,
    pub(crate) property: String,
}

/// Builds the program in a target directory of its own, since everything is compiled anew with `--cfg loom`. With
/// debug assertions, and without link-time optimization, which takes longer than all models.
pub(crate) fn build() -> Result<PathBuf> {
    let target = workspace::target_directory()?.join("loom");
    let mut build = workspace::cargo();
    build
        .args(["build", "--release", "--package", "pgstrata-loom-tests", "--bin", "loom-models"])
        .env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS", "true");
    process::run_shown(&mut build)?;
    Ok(target.join("release/loom-models"))
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
