import { svelte } from "@sveltejs/vite-plugin-svelte";

export default {
  base: "./",
  plugins: [svelte()],
  logLevel: "warn",
  define: { __VUE_OPTIONS_API__: "true", __VUE_PROD_DEVTOOLS__: "false", __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false" },
};
