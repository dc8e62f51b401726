// The engine room's contract with a real Podman.
// cluster: --engine podman
import { engineContract } from './contract.js'

engineContract('podman')
