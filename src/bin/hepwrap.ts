#!/usr/bin/env -S node --
// The "--" keeps Node 20 from taking our --env-file for its own, wherever in the line it stands.
// The client: everything is in cli/. An explicit exit: whatever is still open then belongs to a run that is over.
import { main } from '../cli/main.js'

void main(process.argv.slice(2)).then((status) => process.exit(status))
