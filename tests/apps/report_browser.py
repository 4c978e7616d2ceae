#!/usr/bin/python3
"""report_browser.py PROGRAM: trains two tiny runs, writes their report and reads it in a headless Chromium as a person
would."""

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

try:
    from selenium import webdriver
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
except ImportError:
    sys.exit("report_browser: python3-selenium is missing; cmake/install-deps.sh --tests installs it")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
if not BROWSER or not DRIVER:
    sys.exit("report_browser: chromium or chromedriver is missing; cmake/install-deps.sh --tests installs them")

DRAWN = """
return [...document.querySelectorAll('canvas')].map((canvas) => {
  const chart = Chart.getChart(canvas), copy = document.createElement('canvas');  // a copy: no warning
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext('2d', {willReadFrequently: true});
  context.drawImage(canvas, 0, 0);
  const pixels = context.getImageData(0, 0, copy.width, copy.height).data;
  return {label: canvas.getAttribute('aria-label'),
          points: chart ? chart.data.datasets.reduce((n, d) => n + d.data.length, 0) : -1,
          ink: pixels.some((value) => value !== 0), rows: canvas.closest('figure').querySelectorAll('tbody tr').length};
});"""


def run(*arguments):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{arguments}: exit {done.returncode}\n{done.stderr}")


class Report(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        folder = pathlib.Path(cls.temporary.name)
        tiny = ["--width", 8, "--ways", 3, "--queries", 3, "--meta-batch", 2, "--threads", 2, "--quiet"]
        run("train", "--out", folder / "atoms", "--method", "acdc-maml", "--inner-steps", 2, "--iterations", 20,
            "--val-every", 10,
            "--val-episodes", 4, *tiny)
        run("train", "--out", folder / "proto", "--method", "protonet", "--iterations", 5, "--val-every", 0, *tiny)
        cls.page = folder / "report.html"
        run("report", folder / "atoms", folder / "proto", "--out", cls.page, "--episodes", 8, "--samples", 2,
            "--steps", "0,1,2,4",
            "--timed-tasks", 1)

        options = webdriver.ChromeOptions()
        options.binary_location = BROWSER
        # --no-sandbox: Chromium refuses to run as root without.
        for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                         f"--user-data-dir={folder / 'profile'}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        cls.browser = webdriver.Chrome(service=webdriver.chrome.service.Service(DRIVER), options=options)

    @classmethod
    def tearDownClass(cls):
        cls.browser.quit()
        cls.temporary.cleanup()

    def open(self, width=1280, theme="light", page=None):
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {
            "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                     {"features": [{"name": "prefers-color-scheme", "value": theme}]})
        self.browser.get((page or self.page).as_uri())

    def all(self, css):
        return self.browser.find_elements(By.CSS_SELECTOR, css)

    def button(self, text, within="body"):
        return next(b for b in self.all(f"{within} button") if b.text.startswith(text))

    def column(self, section, index):
        rows = self.all(f"{section} table")[0].find_elements(By.CSS_SELECTOR, "tbody tr")
        return [row.find_elements(By.TAG_NAME, "td")[index].text for row in rows]

    def expect_charts(self, count):
        charts = self.browser.execute_script(DRAWN)
        self.assertEqual(len(charts), count)
        for chart in charts:
            self.assertGreater(chart["points"], 0, chart)
            self.assertTrue(chart["ink"], chart)
            self.assertGreater(chart["rows"], 0, chart)  # the table behind it
            self.assertGreater(len(chart["label"]), 20, chart)

    def test_charts_draw_for_each_run(self):
        self.open()
        self.expect_charts(9)  # two by steps, two by parameters, two of training, moved tensors, two maps
        self.assertEqual(len(self.all(".atoms svg")), 3 * 3 * 6)  # before, after and the change, of three layers
        self.assertNotRegex(self.all("body")[0].text, r"\[object|undefined|NaN|Infinity")
        before = self.all("#confusion table")[0].text
        self.button("proto", "#atoms").click()
        self.expect_charts(7)  # nothing moves: no bars, one map
        self.assertNotRegex(self.all("body")[0].text, r"\[object|undefined|NaN|Infinity")
        self.assertIn("plain convolutions", self.all("#atoms")[0].text)
        self.assertNotEqual(self.all("#confusion table")[0].text, before)

    def test_page_says_what_its_data_say(self):
        self.open()
        data = json.loads(self.browser.execute_script("return document.getElementById('report-data').textContent"))
        self.assertEqual(self.column("#summary", 0), ["atoms", "proto"])
        self.assertEqual(self.column("#summary", 1),
                         [f"{100 * r['accuracy']:.1f} ± {100 * r['ci95']:.1f}" for r in data["runs"]])
        drawn = self.browser.execute_script("""
            const chart = Chart.getChart(document.querySelector('#steps canvas'));
            return chart.data.datasets.map((dataset) => dataset.data.map((point) => [point.y, point.half]));""")
        self.assertEqual(drawn, [[[step["accuracy"], step["ci95"]] for step in r["by_steps"]] for r in data["runs"]])
        label = self.all("#steps canvas")[0].get_attribute("aria-label")
        self.assertIn(f"{100 * data['runs'][0]['by_steps'][1]['accuracy']:.1f} ±", label)

    def test_tables_sort_by_mouse_and_keyboard(self):
        self.open()
        weights = lambda: [int(text.replace(",", "")) for text in self.column("#summary", 5)]
        self.button("conv weights", "#summary").click()
        self.assertEqual(weights(), sorted(weights()))
        self.assertEqual(self.all("#summary th[aria-sort=ascending]")[0].text.strip(" ▲"), "conv weights")
        self.button("conv weights", "#summary").send_keys(Keys.ENTER)
        self.assertEqual(weights(), sorted(weights(), reverse=True))
        self.assertEqual(len(self.all("#summary th[aria-sort=descending]")), 1)
        self.button("run", "#summary").send_keys(Keys.SPACE)
        self.assertEqual(self.column("#summary", 0), ["atoms", "proto"])

    def test_theme_switches(self):
        look = """const chart = Chart.getChart(document.querySelector('canvas'));
                  return [getComputedStyle(document.body).backgroundColor, chart.options.scales.x.ticks.color];"""
        self.open(theme="dark")
        dark = self.browser.execute_script(look)
        self.open(theme="light")
        light = self.browser.execute_script(look)
        self.assertTrue(all(a != b for a, b in zip(dark, light)), (dark, light))
        switch = self.browser.find_element(By.ID, "theme")
        switch.click()
        self.assertEqual(self.browser.execute_script(look), dark)
        self.assertEqual(switch.get_attribute("aria-pressed"), "true")
        self.expect_charts(9)
        self.assertGreater(len(self.browser.print_page()), 10000)
        self.assertEqual(self.browser.execute_script(look), dark)  # as it was before printing
        switch.click()
        self.assertEqual(self.browser.execute_script(look), light)

    def test_episodes_show_pictures_and_predictions(self):
        self.open()
        pictures = self.all("#episodes img")
        self.assertEqual(len(pictures), 3 * (1 + 3))
        for one in pictures:
            self.assertTrue(self.browser.execute_script("return arguments[0].naturalWidth > 0", one))
            self.assertRegex(one.get_attribute("alt"), "^(support|query) picture of stroke")
        captions = lambda: [figure.text for figure in self.all("#episodes figcaption")]
        self.button("before", "#episodes").click()
        before = captions()
        wrong = sum("✗" in text for text in before)
        self.assertIn(f"before ({100 * (9 - wrong) / 9:.1f} %)", self.button("before", "#episodes").text)
        self.button("1", "#episodes").click()
        self.assertEqual(len(self.all("#episodes img")), 3 * (1 + 3))

    def test_phone(self):
        self.open(width=390)
        self.assertLessEqual(self.browser.execute_script("return document.documentElement.scrollWidth"), 390)
        self.expect_charts(9)

    def test_hostile_names_stay_text(self):
        hostile = "<img src=x onerror=\"document.title='run'\"></td>"
        page = self.page.with_name("hostile.html")
        name = json.dumps(hostile)[:-1].replace("<", "\\u003c") + "2"
        page.write_text(self.page.read_text().replace('"stroke2', name))  # the test split's
        self.open(page=page)
        self.assertEqual(self.browser.title, "FewAtoms report")
        self.assertEqual(self.all("img[src=x]"), [])
        for section in ("#episodes", "#features", "#confusion", "#worst"):
            text = self.browser.execute_script("return document.querySelector(arguments[0]).textContent", section)
            self.assertIn(hostile, text)
        self.expect_charts(9)

    def test_z_no_errors_and_no_requests(self):  # of all that the others did, too
        self.open()
        self.assertEqual(self.browser.get_log("browser"), [])
        events = [json.loads(entry["message"])["message"] for entry in self.browser.get_log("performance")]
        asked = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
        folder = self.page.parent.as_uri()  # the browser's first tab asks, too
        by_page = {request["request"]["url"] for request in asked if request["documentURL"].startswith(folder)}
        self.assertEqual({url for url in by_page if not url.startswith("data:")},
                         {f"{folder}/report.html", f"{folder}/hostile.html"})


if __name__ == "__main__":
    PROGRAM = sys.argv.pop(1)
    unittest.main()
