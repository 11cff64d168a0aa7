package cli

// terminalPath is nothing: questions are not asked on a console yet.
const terminalPath = ""
