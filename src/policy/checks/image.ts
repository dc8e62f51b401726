// Which images, as far as their names tell. judgeImage asks again with the digest.
import type { Check } from '../check.js'
import { judgeImageName } from '../image-list.js'

export const checkImage: Check = ({ image }, site) => [judgeImageName(image, site)]
