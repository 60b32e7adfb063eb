"""Pages as people see them: Debian's chromium, without a screen, driven by Playwright."""
