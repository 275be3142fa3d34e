// The server lists a pack's templates in the order of its disk, and the page keeps that order. Here they follow their
// numbers, so that the quickstart comes first.
import { app } from "../../scripts/app.js";
import { api } from "../../scripts/api.js";

const FIRST = "01_quickstart";

app.registerExtension({
  name: "TuneAVideo.TemplateOrder",
  init() {
    const list = api.getWorkflowTemplates.bind(api);
    api.getWorkflowTemplates = async () => {
      const templates = await list();
      Object.values(templates)
        .find((names) => names.includes(FIRST))
        ?.sort();
      return templates;
    };
  },
});
