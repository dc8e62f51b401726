#!/usr/bin/env node
// The site's aggregator; everything is in aggregator/main.
import { aggregatorMain } from '../aggregator/main.js'

const status = await aggregatorMain(process.argv.slice(2))
if (status !== undefined) process.exit(status)
