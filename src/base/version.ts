// The one place that knows our version; a test holds it to package.json.
export const VERSION = '0.1.0'
