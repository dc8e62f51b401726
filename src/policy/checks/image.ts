// Which images, as far as their names tell. isAllowedImage asks again with the digest.
import { quote } from '../../base/errors.js'
import type { Check } from '../check.js'
import { mayBeAllowedImage } from '../image-list.js'

export const checkImage: Check = ({ image }, config) => {
  if (mayBeAllowedImage(image, config)) return undefined
  return {
    code: 'HW_IMAGE_REFUSED',
    text: `image ${quote(image.text)} is not allowed on this site (images.allow)`,
  }
}
