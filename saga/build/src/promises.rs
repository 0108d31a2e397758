//! What the options of the `.proto` files promise, as Rust.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    fmt::Write,
};

use protox::prost_reflect::{
    DescriptorPool, DynamicMessage, MethodDescriptor, ServiceDescriptor, Value,
};

pub(crate) fn write(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for message in pool.all_messages() {
        if let Some(topic) = text(pool, &message.options(), "saga.v1.published_on") {
            let event = rust_path(message.full_name());
            writeln!(code, "impl Event for {event} {{ const TOPIC: &'static str = {topic:?}; }}")?;
        }
    }
    let services: Vec<ServiceDescriptor> =
        pool.services().filter(|service| service.name().ends_with("Commands")).collect();
    refuse_clashes(&services)?;
    for service in &services {
        write_commands(pool, service, &mut code)?;
        write_participant(pool, service, &mut code)?;
    }
    Ok(code)
}

/// Packages keep messages apart, but not what is named after a service.
fn refuse_clashes(services: &[ServiceDescriptor]) -> Result<(), String> {
    let (mut names, mut topics) = (BTreeMap::new(), BTreeMap::new());
    for service in services {
        let (name, topic) = (service.name(), topic_of(service));
        if let Some(other) = names.insert(name, service) {
            return Err(clash(other, service, &format!("the trait `{name}`")));
        }
        if let Some(other) = topics.insert(topic.clone(), service) {
            return Err(clash(other, service, &format!("the topic `{topic}`")));
        }
    }
    Ok(())
}

fn clash(one: &ServiceDescriptor, other: &ServiceDescriptor, shared: &str) -> String {
    let [one, other] = [one, other]
        .map(|service| format!("`{}` (in {})", service.full_name(), service.parent_file().name()));
    format!(
        "{one} and {other} would have {shared} in common: rename one of the two services, as trait, \
         enum and topic are named after the service alone"
    )
}

/// What the commands of a service promise.
fn write_commands(
    pool: &DescriptorPool,
    service: &ServiceDescriptor,
    code: &mut String,
) -> Result<(), Box<dyn Error>> {
    let topic = topic_of(service);
    for rpc in service.methods() {
        let command = rust_path(rpc.input().full_name());
        let reply = rust_path(rpc.output().full_name());
        writeln!(
            code,
            "impl Command for {command} {{
                const TOPIC: &'static str = {topic:?};
                type Reply = {reply};
            }}"
        )?;
        if let Some(undo) = text(pool, &rpc.options(), "saga.v1.undone_by") {
            let undo = rust_path(command_named(service, &undo)?.input().full_name());
            writeln!(code, "impl Undoable for {command} {{ type Undo = {undo}; }}")?;
        }
    }
    for command in retriable(pool, service)? {
        writeln!(code, "impl Retriable for {} {{}}", rust_path(&command))?;
    }
    Ok(())
}

/// The trait with a method for each command, and the enum with a variant for each.
fn write_participant(
    pool: &DescriptorPool,
    service: &ServiceDescriptor,
    code: &mut String,
) -> Result<(), Box<dyn Error>> {
    let (retriable, undos) = (retriable(pool, service)?, undos(pool, service)?);
    let (name, set) = (service.name(), service.name().trim_end_matches('s'));
    let package = service.full_name();
    let [mut methods, mut variants, mut decode, mut decide, mut names, mut undo, mut done] =
        [const { String::new() }; 7];
    for rpc in service.methods() {
        let full_name = rpc.input().full_name().to_owned();
        let (variant, method) = (rpc.name(), snake_case(rpc.name()));
        let (command, reply) = (rust_path(&full_name), rust_path(rpc.output().full_name()));
        let verdict = if retriable.contains(&full_name) { "Settled" } else { "Decision" };
        writeln!(methods, "fn {method}(&mut self, command: {command}) -> {verdict}<{reply}>;")?;
        writeln!(variants, "{variant}({command}),")?;
        writeln!(
            decode,
            "{full_name:?} => match prost::Message::decode(payload) {{
                Ok(command) => Ok({set}::{variant}(command)),
                Err(source) => Err(Undecodable::Malformed {{ name: {full_name:?}, source }}),
            }},"
        )?;
        writeln!(decide, "{set}::{variant}(command) => participant.{method}(command).into(),")?;
        writeln!(names, "{set}::{variant}(_) => {full_name:?},")?;
        writeln!(undo, "{set}::{variant}(_) => {},", undos.contains(&full_name))?;
        writeln!(done, "{set}::{variant}(_) => Answer::succeeded(&{reply}::default()),")?;
    }
    writeln!(
        code,
        "/// What `{package}` asks: a method for each command. Pure decisions; see `decide`.
        pub trait {name} {{ {methods} }}

        /// Any command of `{package}`.
        #[derive(Debug, Clone, PartialEq)]
        pub enum {set} {{ {variants} }}

        impl {set} {{
            /// Lets the participant decide about this command.
            pub fn decide(self, participant: &mut impl {name}) -> Answer {{
                match self {{ {decide} }}
            }}
        }}

        impl CommandSet for {set} {{
            const TOPIC: &'static str = {topic:?};
            fn decode(name: &str, payload: &[u8]) -> Result<Self, Undecodable> {{
                match name {{
                    {decode}
                    unknown => Err(Undecodable::Unknown {{ name: unknown.to_owned() }}),
                }}
            }}
            fn name(&self) -> &'static str {{
                match self {{ {names} }}
            }}
            fn is_undo(&self) -> bool {{
                match self {{ {undo} }}
            }}
            fn done(&self) -> Answer {{
                match self {{ {done} }}
            }}
        }}",
        topic = topic_of(service),
    )?;
    Ok(())
}

/// Full names of the commands that undo others.
fn undos(
    pool: &DescriptorPool,
    service: &ServiceDescriptor,
) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut undos = BTreeSet::new();
    for rpc in service.methods() {
        if let Some(undo) = text(pool, &rpc.options(), "saga.v1.undone_by") {
            undos.insert(command_named(service, &undo)?.input().full_name().to_owned());
        }
    }
    Ok(undos)
}

/// Full names of the commands that must not be refused.
fn retriable(
    pool: &DescriptorPool,
    service: &ServiceDescriptor,
) -> Result<BTreeSet<String>, Box<dyn Error>> {
    let mut retriable = undos(pool, service)?;
    let said = service.methods().filter(|rpc| flag(pool, &rpc.options(), "saga.v1.retriable"));
    retriable.extend(said.map(|rpc| rpc.input().full_name().to_owned()));
    Ok(retriable)
}

/// `shop.inventory.v1.InventoryCommands` → `inventory.commands.v1`
fn topic_of(service: &ServiceDescriptor) -> String {
    let participant = service.name().trim_end_matches("Commands").to_lowercase();
    let package = service.package_name();
    let version = package.rsplit('.').next().unwrap_or("v1");
    format!("{participant}.commands.{version}")
}

fn command_named(service: &ServiceDescriptor, name: &str) -> Result<MethodDescriptor, String> {
    let found = service.methods().find(|rpc| rpc.name() == name);
    found.ok_or_else(|| format!("{} has no command {name}", service.full_name()))
}

fn text(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> Option<String> {
    let extension = pool.get_extension_by_name(name)?;
    options.has_extension(&extension).then_some(())?;
    options.get_extension(&extension).as_str().map(str::to_owned)
}

fn flag(pool: &DescriptorPool, options: &DynamicMessage, name: &str) -> bool {
    pool.get_extension_by_name(name)
        .is_some_and(|extension| *options.get_extension(&extension) == Value::Bool(true))
}

/// `shop.inventory.v1.ReserveStock` → `shop::inventory::v1::ReserveStock`
fn rust_path(full_name: &str) -> String {
    full_name.replace('.', "::")
}

/// `ReserveStock` → `reserve_stock`
fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.chars().enumerate() {
        if letter.is_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
