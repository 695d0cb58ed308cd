//! `loom-models`: lists the models, or runs one. `cargo xtask loom` calls it.
//!
//! ```text
//! loom-models check                                       the table of models against the sources
//! loom-models list                                        name, bound, variants, property; with tabs between
//! loom-models run NAME [--alter SITE] [--preemptions N]   prints executions and microseconds, or panics
//! ```

#[cfg(loom)]
fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(text) => {
            print!("{text}");
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("loom-models: {error}");
            std::process::ExitCode::from(2)
        }
    }
}

#[cfg(loom)]
fn run(words: &[&str]) -> Result<String, String> {
    use std::fmt::Write as _;

    use loom_tests::{explore, models, sites};

    match words {
        ["list"] => {
            let mut text = String::new();
            for model in models::all() {
                let bound = model.preemptions.map_or("all".to_owned(), |bound| bound.to_string());
                let (name, variants) = (model.name, model.variants.join(","));
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{name}\t{bound}\t{variants}\t{}", model.property);
            }
            Ok(text)
        }
        ["run", name, options @ ..] => {
            let model = models::all()
                .into_iter()
                .find(|model| model.name == *name)
                .ok_or_else(|| format!("there is no model {name:?}"))?;
            let (mut altered, mut preemptions) = (None, model.preemptions);
            for option in options.chunks(2) {
                match option {
                    ["--alter", site] => altered = Some(&*site.to_string().leak()),
                    ["--preemptions", number] => {
                        preemptions =
                            Some(number.parse().map_err(|error| format!("{number:?}: {error}"))?);
                    }
                    other => return Err(format!("what is {other:?}?")),
                }
            }
            let explored = explore(&model, preemptions, altered);
            if let Some(site) = altered.filter(|site| !explored.seen.contains(site)) {
                return Err(format!("{name} does not come by {site}"));
            }
            let micros = explored.took.as_micros();
            Ok(format!("executions {} micros {micros}\n", explored.executions))
        }
        ["check"] => sites::check().map(|()| String::new()),
        _ => Err("loom-models check | list | run NAME [--alter SITE] [--preemptions N]".to_owned()),
    }
}

#[cfg(not(loom))]
fn main() -> std::process::ExitCode {
    eprintln!("loom-models: built without loom; use `cargo xtask loom`");
    std::process::ExitCode::from(2)
}
