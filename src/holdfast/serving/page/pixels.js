// Turns what a person drew or chose into the numbers that a model takes. Owns rasterising strokes,
// centring them as the well-known digits are, and the order and range of pixels. Knows no element
// but a canvas to paint on.

const FINE = 8;

/** Returns the pen's width, in the model's pixels, that looks like the digits of this size. */
export function usualPen(height) {
  return height <= 16 ? 1.5 : (2.4 * height) / 28;
}

/**
 * Returns strokes moved and scaled as the training digits were.
 *
 * Up to 16 pixels high they fill the height, as scikit-learn's do; bigger ones fit in the middle
 * 20 of 28 parts with their centre of mass in the middle, as MNIST's do.
 */
export function centred(strokes, width, height, pen) {
  const points = strokes.flat();
  if (!points.length) return strokes;
  const small = height <= 16;
  const room = small ? [0.8 * width, height] : [(20 / 28) * width, (20 / 28) * height];
  const box = bounds(points);
  const scale = Math.min(
    (room[0] - pen) / Math.max(box.width, 0.01),
    (room[1] - pen) / Math.max(box.height, 0.01),
    // A dot stays a dot.
    Math.max(box.width, box.height) < 0.5 ? 1 : Infinity,
  );
  const middle = [box.x + box.width / 2, box.y + box.height / 2];
  const placed = moved(strokes, middle, [width / 2, height / 2], scale);
  if (small) return placed;
  const mass = centreOfMass(raster(placed, width, height, pen), width, height);
  return moved(placed, mass, [width / 2, height / 2], 1);
}

/** Returns how much of each pixel is covered by the strokes, from 0 to 1, row by row. */
export function raster(strokes, width, height, pen) {
  const canvas = document.createElement("canvas");
  canvas.width = width * FINE;
  canvas.height = height * FINE;
  const paper = canvas.getContext("2d", { willReadFrequently: true });
  paper.scale(FINE, FINE);
  trace(paper, strokes, pen);
  const fine = paper.getImageData(0, 0, canvas.width, canvas.height).data;
  const covered = new Float32Array(width * height);
  for (let y = 0; y < canvas.height; y++) {
    for (let x = 0; x < canvas.width; x++) {
      const pixel = Math.floor(y / FINE) * width + Math.floor(x / FINE);
      covered[pixel] += fine[4 * (y * canvas.width + x) + 3] / 255 / (FINE * FINE);
    }
  }
  return covered;
}

/** Draws strokes with round ends, in the colour that the context has. */
export function trace(paper, strokes, pen) {
  paper.lineWidth = pen;
  paper.lineCap = paper.lineJoin = "round";
  for (const [first, ...rest] of strokes) {
    paper.beginPath();
    paper.moveTo(...first);
    // A line of no length is drawn as a dot only where it is told to go somewhere.
    paper.lineTo(first[0] + 0.001, first[1]);
    for (const point of rest) paper.lineTo(...point);
    paper.stroke();
  }
}

/** Returns the pixels of an image, from 0 to 1, channel after channel within each pixel. */
export function pixelsOf(image, width, height, channels) {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const paper = canvas.getContext("2d", { willReadFrequently: true });
  paper.fillStyle = "white";
  paper.fillRect(0, 0, width, height);
  paper.imageSmoothingQuality = "high";
  paper.drawImage(image, 0, 0, width, height);
  const data = paper.getImageData(0, 0, width, height).data;
  const pixels = new Float32Array(width * height * channels);
  for (let n = 0; n < width * height; n++) {
    const [r, g, b] = data.subarray(4 * n, 4 * n + 3);
    if (channels === 1) pixels[n] = (0.299 * r + 0.587 * g + 0.114 * b) / 255;
    else pixels.set([r / 255, g / 255, b / 255], 3 * n);
  }
  return pixels;
}

/** Returns pixels as nested lists in the model's layout, from its number of black to its white. */
export function sample(pixels, image, [black, white], whole) {
  const { width, height, channels, layout } = image;
  const number = (n) => {
    const value = black + pixels[n] * (white - black);
    return whole ? Math.round(value) : Number(value.toFixed(4));
  };
  const list = (size, each) => Array.from({ length: size }, (_, n) => each(n));
  switch (layout) {
    case "flat":
      return list(width * height, number);
    case "hw":
      return list(height, (y) => list(width, (x) => number(y * width + x)));
    case "chw":
      return list(channels, (c) =>
        list(height, (y) => list(width, (x) => number((y * width + x) * channels + c))),
      );
    default:
      return list(height, (y) =>
        list(width, (x) => list(channels, (c) => number((y * width + x) * channels + c))),
      );
  }
}

/** Shows pixels on a canvas, one of its pixels for each. */
export function show(canvas, pixels, { width, height, channels }) {
  canvas.width = width;
  canvas.height = height;
  const paper = canvas.getContext("2d");
  const data = paper.createImageData(width, height);
  for (let n = 0; n < width * height; n++) {
    for (let c = 0; c < 3; c++) {
      data.data[4 * n + c] = 255 * pixels[n * channels + (channels === 1 ? 0 : c)];
    }
    data.data[4 * n + 3] = 255;
  }
  paper.putImageData(data, 0, 0);
}

function bounds(points) {
  const xs = points.map((point) => point[0]);
  const ys = points.map((point) => point[1]);
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return { x, y, width: Math.max(...xs) - x, height: Math.max(...ys) - y };
}

function moved(strokes, from, to, scale) {
  return strokes.map((stroke) =>
    stroke.map((point) => [
      to[0] + (point[0] - from[0]) * scale,
      to[1] + (point[1] - from[1]) * scale,
    ]),
  );
}

function centreOfMass(pixels, width, height) {
  let [mass, x, y] = [0, 0, 0];
  pixels.forEach((value, n) => {
    mass += value;
    x += value * ((n % width) + 0.5);
    y += value * (Math.floor(n / width) + 0.5);
  });
  return mass ? [x / mass, y / mass] : [width / 2, height / 2];
}
