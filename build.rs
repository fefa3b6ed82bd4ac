//! Generates the wire types from `proto/`, and their JSON by Protobuf's canonical mapping.

use std::error::Error;
use std::path::PathBuf;

use prost::Message as _;

/// The schema, in the order that its readers should take.
const PROTOS: [&str; 3] = [
    "vcc/link/v1/call.proto",
    "vcc/link/v1/call_log.proto",
    "vcc/link/v1/link.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    println!("cargo:rerun-if-changed=migrations");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let bytes = descriptors.encode_to_vec();
    // The contract's documents are made from the descriptors, comments included.
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), &bytes)?;
    prost_build::Config::new()
        // The well-known type's JSON is ours: see there.
        .compile_well_known_types()
        .extern_path(
            ".google.protobuf.Timestamp",
            "crate::kafka::wire::timestamp::Timestamp",
        )
        .btree_map(["."])
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&bytes)?
        .btree_map(["."])
        .ignore_unknown_fields()
        .ignore_unknown_enum_variants()
        .build(&[".vcc.link.v1"])?;
    Ok(())
}
