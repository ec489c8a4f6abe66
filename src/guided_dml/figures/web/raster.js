// Return the bytes of a text in base64.
function bytesOf(text) {
  const read = atob(text), bytes = new Uint8Array(read.length);
  for (let i = 0; i < read.length; i++) bytes[i] = read.charCodeAt(i);
  return bytes;
}

// Return 0, 1 ... in a random order, always the same: drawn in their own, the last class would cover the others.
function shuffled(count) {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1, state = 1; i > 0; i--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const j = Math.floor((state / 2 ** 32) * (i + 1)), other = order[i];
    order[i] = order[j]; order[j] = other;
  }
  return order;
}

// Points as pixels of an image: a path for each would take a hundred times as long.
class Raster {
  constructor(canvas) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d", { alpha: false });
    this.stamps = new Map();
  }

  // Begin a white picture; around it is a margin, so that no dot has to be cut.
  begin(width, height) {
    const wide = width + 2 * Raster.MARGIN, high = height + 2 * Raster.MARGIN;
    if (!this.image || this.image.width !== wide || this.image.height !== high) {
      this.canvas.width = width; this.canvas.height = height;
      this.image = new ImageData(wide, high);
      this.pixels = new Uint32Array(this.image.data.buffer);
      this.stamps.clear();
    }
    this.pixels.fill(0xffffffff);
  }

  end() { this.pen.putImageData(this.image, -Raster.MARGIN, -Raster.MARGIN); }

  // Return a disc with a white edge, or a ring (inner is its inner radius), for each of 4 x 4 places
  // of its centre within a pixel: the pixels that it covers as offsets from the centre's, and how
  // much of each, of 256, it colours, and its edge whitens.
  stamp(outer, { inner = 0, opacity = 1, edge = 0 }) {
    const key = `${outer} ${inner} ${opacity} ${edge}`;
    if (this.stamps.has(key)) return this.stamps.get(key);
    const reach = Math.ceil(outer + edge + 1), made = [];
    for (let phase = 0; phase < 16; phase++) {
      const cx = ((phase & 3) + 0.5) / 4 - 0.5, cy = ((phase >> 2) + 0.5) / 4 - 0.5, offsets = [], covered = [], white = [];
      for (let dy = -reach; dy <= reach; dy++) for (let dx = -reach; dx <= reach; dx++) {
        const far = Math.hypot(dx - cx, dy - cy), within = (edge) => Math.min(1, Math.max(0, edge + 0.5 - far));
        const share = Math.round(256 * opacity * (within(outer) - (inner ? within(inner) : 0)));
        const around = Math.round(256 * opacity * (within(outer + edge) - within(outer)));
        if (share + around > 0) { offsets.push(dy * this.image.width + dx); covered.push(share); white.push(around); }
      }
      made.push({ offsets: Int32Array.from(offsets), covered: Int32Array.from(covered), white: Int32Array.from(white) });
    }
    this.stamps.set(key, made);
    return made;
  }

  // Stamp points onto the picture.
  // points: x, y, labels; list: which of them; place: pixel = ax + bx x, ay + by y; without a stamp
  // each is one pixel.
  draw(points, list, colours, place, stamp) {
    const { pixels } = this, { x, y, labels } = points, stride = this.image.width, m = Raster.MARGIN;
    const low = m / 2, right = this.canvas.width + 1.5 * m, bottom = this.canvas.height + 1.5 * m;
    const ax = place.ax + m, ay = place.ay + m, { bx, by } = place;
    for (let t = 0; t < list.length; t++) {
      const k = list[t], px = ax + bx * x[k], py = ay + by * y[k];
      if (!(px >= low && px < right && py >= low && py < bottom)) continue;
      const ix = px | 0, iy = py | 0, at = iy * stride + ix;
      if (!stamp) { pixels[at] = colours[labels[k]]; continue; }
      const { offsets, covered, white } = stamp[(((py - iy) * 4) | 0) * 4 + (((px - ix) * 4) | 0)];
      const colour = colours[labels[k]], odd = colour & 0xff00ff, even = colour & 0x00ff00;
      for (let s = 0; s < offsets.length; s++) {
        const j = at + offsets[s], over = covered[s], under = 256 - over - white[s], before = pixels[j];
        // Red and blue are blended at once, each in 16 bits of its own.
        pixels[j] = 0xff000000
          | (((Math.imul(before & 0xff00ff, under) + Math.imul(odd, over) + Math.imul(0xff00ff, white[s])) >>> 8) & 0xff00ff)
          | (((Math.imul(before & 0x00ff00, under) + Math.imul(even, over) + Math.imul(0x00ff00, white[s])) >>> 8) & 0x00ff00);
      }
    }
  }
}
Raster.MARGIN = 48;

// Return colours as pixels, mixed with so much white.
function pixelsOf(colours, white = 0) {
  return Uint32Array.from(colours, (colour) => {
    const mixed = [1, 3, 5].map((at) => Math.round(parseInt(colour.slice(at, at + 2), 16) * (1 - white) + 255 * white));
    return (0xff000000 | (mixed[2] << 16) | (mixed[1] << 8) | mixed[0]) >>> 0;
  });
}
