#!/usr/bin/env node
// The node's daemon; everything is in daemon/main.
import { daemonMain } from '../daemon/main.js'

const status = await daemonMain(process.argv.slice(2))
if (status !== undefined) process.exit(status)
