//! JSON in a column of type text.

use std::ops::Deref;

use serde::de::DeserializeOwned;
use sqlx::{
    Decode, Postgres, Type,
    error::BoxDynError,
    postgres::{PgTypeInfo, PgValueRef},
};

/// What the JSON says.
#[derive(Debug, Clone)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Type<Postgres> for Json<T> {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(of: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(of)
    }
}

impl<'r, T: DeserializeOwned> Decode<'r, Postgres> for Json<T> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let text = <&str as Decode<'r, Postgres>>::decode(value)?;
        Ok(Json(serde_json::from_str(text)?))
    }
}

/// What the lines say, JSON each.
#[derive(Debug, Clone)]
pub(crate) struct JsonLines<T>(pub(crate) Vec<T>);

impl<T> Type<Postgres> for JsonLines<T> {
    fn type_info() -> PgTypeInfo {
        <str as Type<Postgres>>::type_info()
    }

    fn compatible(of: &PgTypeInfo) -> bool {
        <str as Type<Postgres>>::compatible(of)
    }
}

impl<'r, T: DeserializeOwned> Decode<'r, Postgres> for JsonLines<T> {
    fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
        let text = <&str as Decode<'r, Postgres>>::decode(value)?;
        Ok(JsonLines(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?))
    }
}
