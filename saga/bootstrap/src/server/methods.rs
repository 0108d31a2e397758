//! What the descriptor set says about each method that the guard must know.

use std::{collections::HashMap, sync::Arc};

use anyhow::Context;
use prost::Message;
use prost_types::FileDescriptorSet;

/// Methods by request path, `/package.Service/Method`.
#[derive(Debug)]
pub(super) struct Methods(HashMap<Arc<str>, Method>);

#[derive(Debug, Clone)]
pub(super) struct Method {
    pub(super) path: Arc<str>,
    /// The answer may have to wait for the client's stream to end.
    pub(super) is_client_streaming: bool,
    pub(super) is_server_streaming: bool,
    /// Counts as under way: not what tells of the server itself, above all when it is busy.
    pub(super) is_counted: bool,
}

impl Methods {
    /// The methods in `descriptor_set` and those that every server has.
    pub(super) fn read(descriptor_set: &[u8]) -> anyhow::Result<Self> {
        let sets = [
            (descriptor_set, true),
            (tonic_health::pb::FILE_DESCRIPTOR_SET, false),
            (tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET, false),
            (tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET, false),
        ];
        let mut methods = HashMap::new();
        for (set, is_counted) in sets {
            let set = FileDescriptorSet::decode(set).context("reading the descriptor set")?;
            for file in &set.file {
                for service in &file.service {
                    for method in &service.method {
                        let path =
                            format!("/{}.{}/{}", file.package(), service.name(), method.name());
                        let path = Arc::<str>::from(path);
                        let method = Method {
                            path: Arc::clone(&path),
                            is_client_streaming: method.client_streaming(),
                            is_server_streaming: method.server_streaming(),
                            is_counted,
                        };
                        methods.insert(path, method);
                    }
                }
            }
        }
        Ok(Self(methods))
    }

    pub(super) fn get(&self, path: &str) -> Option<&Method> {
        self.0.get(path)
    }
}
