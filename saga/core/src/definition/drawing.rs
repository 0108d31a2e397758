//! A definition as a picture.

use crate::{Definition, Kind, Step};

pub(super) fn mermaid(definition: &Definition) -> String {
    let mut lines = vec!["flowchart LR".to_owned()];
    for stage in definition.stages() {
        lines.extend(boxes(stage));
    }
    let stages: Vec<String> = definition.stages().map(at_the_same_time).collect();
    lines.push(format!("  {}", stages.join(" --> ")));
    lines.extend(definition.steps.iter().filter_map(compensation));
    lines.push("  classDef pivot stroke-width:3px".to_owned());
    lines.push("  classDef undo stroke-dasharray:4".to_owned());
    lines.join("\n") + "\n"
}

/// Steps that happen at the same time share a frame.
fn boxes(stage: &[Step]) -> Vec<String> {
    let boxes = stage.iter().map(|step| format!("{}{}", step.name, shape(step)));
    match stage {
        [first, _, ..] => {
            let frame = format!("  subgraph parallel-{} [at the same time]", first.stage);
            let inside = boxes.map(|step| format!("    {step}"));
            [frame].into_iter().chain(inside).chain(["  end".to_owned()]).collect()
        }
        _ => boxes.map(|step| format!("  {step}")).collect(),
    }
}

fn shape(step: &Step) -> String {
    let name = &step.name;
    match step.kind {
        Kind::Start { .. } => format!("([{name}])"),
        Kind::Compensatable { .. } => format!("[{name}]"),
        Kind::Pivot { .. } => format!("{{{{\"{name}<br/>(pivot)\"}}}}:::pivot"),
        Kind::Retriable { .. } => format!("[[{name}]]"),
    }
}

fn at_the_same_time(stage: &[Step]) -> String {
    let names: Vec<&str> = stage.iter().map(|step| step.name.as_str()).collect();
    names.join(" & ")
}

fn compensation(step: &Step) -> Option<String> {
    let command = step.kind.undo()?.command.rsplit('.').next()?;
    let name = &step.name;
    Some(format!("  {name} -. undone by .-> undo-{name}[/{command}/]:::undo"))
}
