//! What the URL of a server is made of, to show it without its password and to reach another database
//! on the same server. A password may hold `@` and `/`, though these should be escaped.

/// `scheme://user:password@host:port/path?query`, of which only the scheme and the host must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerUrl<'a> {
    pub scheme: &'a str,
    user: Option<&'a str>,
    password: Option<&'a str>,
    /// With its port, if that is given.
    pub host: &'a str,
    /// From its slash on.
    path: &'a str,
    pub query: Option<&'a str>,
}

impl<'a> ServerUrl<'a> {
    /// None for what is no URL.
    pub fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (login, rest) = match rest.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, rest),
        };
        let (user, password) = match login.and_then(|login| login.split_once(':')) {
            Some((user, password)) => (Some(user), Some(password)),
            None => (login, None),
        };
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        Some(Self { scheme, user, password, host, path, query })
    }

    /// The host with its port, or with the one that such servers usually have.
    pub fn host_and_port(&self, usual_port: u16) -> String {
        let after_brackets = self.host.rsplit_once(']').map_or(self.host, |(_, after)| after);
        if after_brackets.contains(':') {
            self.host.to_owned()
        } else {
            format!("{}:{usual_port}", self.host)
        }
    }

    /// The same server's database of this name.
    pub fn of_database(&self, name: &str) -> String {
        let path = format!("/{name}");
        let url = ServerUrl { path: &path, query: None, ..*self }.with_password(self.password);
        match self.query {
            Some(query) => format!("{url}?{query}"),
            None => url,
        }
    }

    /// Without a password, and without a query, which may hold one too.
    pub fn without_secrets(&self) -> String {
        self.with_password(None)
    }

    /// With something in the place of its password, if it has one; without the query.
    pub fn masked(&self, mask: &str) -> String {
        self.with_password(self.password.map(|_| mask))
    }

    fn with_password(&self, password: Option<&str>) -> String {
        let login = match (self.user, password) {
            (Some(user), Some(password)) => format!("{user}:{password}@"),
            (Some(user), None) => format!("{user}@"),
            (None, _) => String::new(),
        };
        format!("{}://{login}{}{}", self.scheme, self.host, self.path)
    }
}

#[cfg(test)]
mod tests;
