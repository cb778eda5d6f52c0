"""Certificate -> view model (every number formatted once) -> HTML, Markdown, terminal text."""
