// The engine room's contract with a real Docker.
import { engineContract } from './contract.js'

engineContract('docker')
