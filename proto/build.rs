//! Generates from every `.proto` in this folder.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    saga_build::compile(".", &[])
}
