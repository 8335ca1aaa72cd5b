"""Made-up slices of heads with their tissue, so that training needs no patient's data."""

import numpy as np


def phantom(random, height, width):
    """One slice (float32, 0..255) and its classes (0 background, 1 CSF, 2 grey, 3 white)."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    cy, cx = height * random.uniform(0.45, 0.55), width * random.uniform(0.45, 0.55)
    ry, rx = height * random.uniform(0.34, 0.46), width * random.uniform(0.34, 0.46)
    angle = np.arctan2((y - cy) / ry, (x - cx) / rx)
    radius = np.hypot((y - cy) / ry, (x - cx) / rx)
    folds = 0.05 * np.sin(angle * random.randint(9, 17) + random.uniform(0, 6)) + 0.03 * np.sin(angle * random.randint(20, 31))
    classes = np.zeros((height, width), np.uint8)
    classes[radius < 0.86] = 1
    classes[radius < 0.8 + 0.3 * folds] = 2
    classes[radius < 0.62 + folds] = 3
    shift = rx * random.uniform(0.12, 0.2)
    for side in (-1, 1):
        ventricle = np.hypot((y - cy) / (ry * 0.22), (x - cx - side * shift) / (rx * 0.09))
        classes[ventricle < random.uniform(0.8, 1.2)] = 1
    brightness = np.array([12, 55, 120, 175], np.float32) * random.uniform(0.85, 1.15)
    image = brightness[classes]
    image[(radius >= 0.86) & (radius < 0.93)] = 15 * random.uniform(0.5, 1.5)
    image[(radius >= 0.93) & (radius < 1.0)] = random.uniform(150, 230)
    bias = 1 + 0.15 * np.cos(y / height * random.uniform(1, 3)) * np.cos(x / width * random.uniform(1, 3))
    image = image * bias + random.normal(0, random.uniform(4, 10), image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.float32), classes


def batch(random, count, height, width):
    """Images N x 1 x H x W and classes N x H x W."""
    pairs = [phantom(random, height, width) for _ in range(count)]
    return np.stack([p[0] for p in pairs])[:, None], np.stack([p[1] for p in pairs])
